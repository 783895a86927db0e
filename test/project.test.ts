import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { COFFER_ERROR_CODES, CofferError } from "../src/errors.ts";
import { filesBelow, root, textOf } from "./source-files.ts";

interface Manifest {
  readonly version: string;
  readonly license: string;
  readonly files: readonly string[];
  readonly scripts: Readonly<Record<string, string>>;
  readonly dependencies: Readonly<Record<string, string>>;
  readonly optionalDependencies: Readonly<Record<string, string>>;
  readonly devDependencies: Readonly<Record<string, string>>;
  readonly overrides: Readonly<Record<string, string>>;
}

const manifest = JSON.parse(textOf("package.json")) as Manifest;
const files = filesBelow();
const texts = files.filter((path) => !/\.(?:bin|cof|png|ldb|gz)$/u.test(path));

/** Lines of the project's own files that match, as `path:line`. The patterns are written so that they do not match themselves. */
function linesWith(pattern: RegExp): string[] {
  return texts.flatMap((path) =>
    textOf(path)
      .split("\n")
      .flatMap((line, index) => (pattern.test(line) ? [`${path}:${index + 1}`] : [])),
  );
}

describe("the files of the project", () => {
  test("include what a stranger looks for first", () => {
    const first = ["README.md", "LICENSE", "SECURITY.md", "CHANGELOG.md", "docs/format.md", "docs/errors.md"];
    expect(first.filter((path) => !files.includes(path))).toEqual([]);
    expect(manifest.license).toBe("Apache-2.0");
    expect(textOf("LICENSE")).toContain("Apache License");
  });

  test("name no package registry", () => {
    expect(linesWith(/registry[.]\w|npm[j]s|npm[m]irror|yarn[p]kg|_auth[T]oken/iu)).toEqual([]);
    expect(textOf("package-lock.json")).not.toContain('"resolved"');
    expect(textOf(".ci/runtimes/package-lock.json")).not.toContain('"resolved"');
  });

  test("name no path of somebody's machine", () => {
    expect(linesWith(/(?<![\w.~@-])\/(?:work|root|home|Users)\/\w|\b[A-Z]:\\Users/u)).toEqual([]);
  });

  test("leave no note about work to be done", () => {
    expect(linesWith(/\b(?:TO[D]O|FIX[M]E|HA[C]K)\b/u)).toEqual([]);
  });

  test("have names in kebab case that say what is inside", () => {
    const named = files.filter(
      (path) => /^(?:src|test|bench|scripts|demo)\//u.test(path) && !path.endsWith("/README.md"),
    );
    expect(
      named.filter((path) => /[A-Z_]|(?:^|\/)(?:utils|helpers|common|manager|types|impl)\b/u.test(path)),
    ).toEqual([]);
  });
});

describe("package.json", () => {
  test("pins every dependency exactly, in the lockfile too", () => {
    const lock = JSON.parse(textOf("package-lock.json")) as {
      packages: Record<string, { version?: string }>;
    };
    for (const [name, version] of dependencies()) {
      expect(version, name).toMatch(/^\d+\.\d+\.\d+$/u);
      expect(lock.packages[`node_modules/${name}`]?.version, name).toBe(version);
    }
  });

  test("names only scripts and files that exist", () => {
    for (const [name, command] of Object.entries(manifest.scripts)) {
      for (const [path] of command.matchAll(/\b(?:scripts|demo|bench)\/[\w./-]+/gu)) {
        expect(existsSync(join(root, path)), `${name} runs ${path}`).toBe(true);
      }
    }
    const built = (path: string): boolean => path === "dist" || existsSync(join(root, path));
    expect(manifest.files.filter((path) => !built(path))).toEqual([]);
  });

  test("has its version in the changelog", () => {
    expect(headings("CHANGELOG.md", "##")).toContainEqual(expect.stringContaining(manifest.version));
  });
});

describe("docs/errors.md", () => {
  test("has one heading for every code, in the order of the union", () => {
    expect(headings("docs/errors.md", "##").filter((heading) => heading.startsWith("COFFER_"))).toEqual([
      ...COFFER_ERROR_CODES,
    ]);
  });

  test.each(COFFER_ERROR_CODES)("says of %s when it comes, whether to retry, and what to do", (code) => {
    const section = sectionOf("docs/errors.md", code);
    const retry = new CofferError(code, "for the test").retryable ? "yes" : "no";
    expect(section).toMatch(/^\*\*When\*\*: \S/mu);
    expect(section).toMatch(new RegExp(`^\\*\\*Retry\\*\\*: ${retry}[.,;]`, "mu"));
    expect(section).toMatch(/^\*\*Do\*\*: \S/mu);
  });

  test("has every reason of COFFER_IO that the source gives, and no other", () => {
    const source = filesBelow("src").map(textOf).join("\n");
    const given = [...source.matchAll(/new IoError\((?:(?!;\n)[^])*?\breason: "([\w-]+)"/gu)];
    const unexpected = [...source.matchAll(/new UnexpectedFileError\("([\w-]+)"/gu)];
    const reasons = new Set([...given, ...unexpected].map(([, reason]) => reason));
    const told = [...sectionOf("docs/errors.md", "COFFER_IO").matchAll(/^\| (`[^|]*`) +\|/gmu)]
      .flatMap(([, cell = ""]) => [...cell.matchAll(/`([\w-]+)`/gu)])
      .map(([, reason]) => reason);
    // The head of the table's first column looks like one.
    expect(new Set(told.filter((reason) => reason !== "reason"))).toEqual(reasons);
  });
});

describe("the documents that are in the package", () => {
  // The one document that is about the repository's tests and says where each is.
  const shipped = filesBelow("docs").filter((path) => path.endsWith(".md") && path !== "docs/reliability.md");

  test.each(shipped)("%s sends nobody to a file that is not", (path) => {
    const notShipped = /\]\(\.\.\/(?:bench|demo|scripts|src|test)\/|`(?:[\w-]+\/)*[\w-]+\.(?:ts|mjs)`/gu;
    expect([...textOf(path).matchAll(notShipped)].map(([found]) => found)).toEqual([]);
  });

  test("docs/yubikey.md names the whole environment of a module", () => {
    const source = textOf("src/keystore/slots/pkcs11/helper-environment.ts");
    const kept = [...source.matchAll(/^ {2}"(\w+)",$/gmu)].map(([, name = ""]) => name);
    expect(kept).toContain("PATH");
    const [, section = ""] = textOf("docs/yubikey.md").split("### The environment of the module");
    const [list = ""] = section.split(/^#/mu);
    expect(kept.filter((name) => !list.includes(`\`${name}\``))).toEqual([]);
  });
});

describe("docs/dependencies.md", () => {
  test("has one heading for every dependency, with the version in use", () => {
    const expected = dependencies().map(([name, version]) => `${name} ${version}`);
    expect(headings("docs/dependencies.md", "###").toSorted()).toEqual(expected.toSorted());
  });
});

function dependencies(): [name: string, version: string][] {
  const { dependencies: run, optionalDependencies, devDependencies, overrides } = manifest;
  return Object.entries({ ...run, ...optionalDependencies, ...devDependencies, ...overrides });
}

function headings(path: string, level: string): string[] {
  return textOf(path)
    .split("\n")
    .filter((line) => line.startsWith(`${level} `))
    .map((line) => line.slice(level.length + 1).replaceAll("`", ""));
}

function sectionOf(path: string, heading: string): string {
  const [, rest = ""] = textOf(path).split(new RegExp(`^## \`?${heading}\`?$`, "mu"));
  return rest.split(/^## /mu)[0] ?? "";
}
