import { posix } from "node:path";
import { describe, expect, test } from "vitest";
import { filesBelow, textOf } from "./source-files.ts";

/** A file imports only from its own folder or from a lower number; the root's files of one number are a folder. */
const LAYERS: Readonly<Record<string, number>> = {
  "errors.ts": 0,
  "bytes.ts": 0,
  "secret.ts": 0,
  "limits.ts": 0,
  crypto: 1,
  formats: 2,
  storage: 3,
  keystore: 4,
  kms: 5,
  envelope: 6,
  store: 7,
  "auto-lock.ts": 8,
  "backup-vault.ts": 8,
  "debugger-port.ts": 8,
  "describe-vault.ts": 8,
  "diagnose-contents.ts": 8,
  "diagnose-files.ts": 8,
  "diagnose-store.ts": 8,
  "diagnose-vault.ts": 8,
  "diagnosis.ts": 8,
  "diagnosis-repair.ts": 8,
  "restore-vault.ts": 8,
  "rotate-root-key.ts": 8,
  "testing.ts": 8,
  "unlock-delay.ts": 8,
  "vault-events.ts": 8,
  "vault-locking.ts": 8,
  "vault-opening.ts": 8,
  "vault-options.ts": 8,
  "vault-slots.ts": 8,
  "vault.ts": 8,
  "index.ts": 8,
  adapters: 9,
};

/** Modules of Node that reach files, processes or the network, and who may. */
const DOORS: Readonly<Record<string, readonly string[]>> = {
  "node:fs": ["storage/file-system-calls.ts", "adapters/cli/"],
  "node:fs/promises": ["storage/file-system-calls.ts", "adapters/cli/"],
  "node:child_process": ["storage/untrusted-database.ts", "keystore/slots/pkcs11/helper-process.ts"],
  "node:net": [],
  "node:http": [],
  "node:https": [],
  "node:dgram": [],
  "node:dns": [],
};

/** The algorithms and formats take everything as arguments: no clock, no I/O. A worker thread carries the fallback of Argon2id. */
const PURE: Readonly<Record<string, readonly string[]>> = {
  crypto: ["node:crypto", "node:worker_threads"],
  formats: ["node:crypto", "node:buffer"],
};

/** Static and dynamic imports, and the files that `new URL` names for a worker: those have their built name. */
const IMPORT =
  /^(?:import|export)\b(?:[^;"]*?\bfrom)?\s*"([^"]+)"|\bimport\(\s*"([^"]+)"|\bnew URL\(\s*"(\.[^"]+)",\s*import\.meta\.url/gmu;

interface Import {
  readonly from: string;
  readonly specifier: string;
  /** The imported file below `src/`, or `undefined` for a package or a module of Node. */
  readonly target: string | undefined;
}

function importsOf(from: string): Import[] {
  const found: Import[] = [];
  for (const match of textOf(`src/${from}`).matchAll(IMPORT)) {
    const specifier = match[1] ?? match[2] ?? match[3];
    if (specifier === undefined) continue;
    const path = match[3] === undefined ? specifier : specifier.replace(/\.c?js$/u, ".ts");
    const target = path.startsWith(".") ? posix.join(posix.dirname(from), path) : undefined;
    found.push({ from, specifier, target });
  }
  return found;
}

const files = filesBelow("src").map((path) => path.slice("src/".length));
const imports = files.flatMap(importsOf);

function folderOf(path: string): string {
  return path.split("/")[0] ?? path;
}

function layerOf(path: string): number | undefined {
  return LAYERS[folderOf(path)];
}

function shown({ from, specifier }: Import): string {
  return `${from} imports ${specifier}`;
}

describe("source files", () => {
  test("are found, and so are their imports", () => {
    expect(files).toContain("errors.ts");
    expect(imports.map(shown)).toContain("bytes.ts imports node:crypto");
  });

  test("belong to a layer each", () => {
    expect(files.filter((path) => layerOf(path) === undefined)).toEqual([]);
  });

  test("import only from their own folder or a lower layer", () => {
    const upward = imports.filter(({ from, target }) => {
      if (target === undefined || folderOf(from) === folderOf(target)) return false;
      const [own, other] = [layerOf(from), layerOf(target)];
      if (own === undefined || other === undefined) return true;
      const bothAtRoot = !from.includes("/") && !target.includes("/");
      return bothAtRoot ? other > own : other >= own;
    });
    expect(upward.map(shown)).toEqual([]);
  });

  test("import each other by the name of a file that exists", () => {
    const missing = imports.filter(({ target }) => target !== undefined && !files.includes(target));
    expect(missing.map(shown)).toEqual([]);
  });

  test("have no import cycle", () => {
    const next = new Map<string, string[]>(files.map((path) => [path, []]));
    for (const { from, target } of imports) if (target !== undefined) next.get(from)?.push(target);
    const done = new Set<string>();
    const walk = (path: string, trail: readonly string[]): string | undefined => {
      if (trail.includes(path)) return [...trail.slice(trail.indexOf(path)), path].join(" -> ");
      if (done.has(path)) return undefined;
      for (const target of next.get(path) ?? []) {
        const cycle = walk(target, [...trail, path]);
        if (cycle !== undefined) return cycle;
      }
      done.add(path);
      return undefined;
    };
    expect(files.map((path) => walk(path, [])).filter((cycle) => cycle !== undefined)).toEqual([]);
  });

  test("reach files, processes and the network through the named places alone", () => {
    const found = imports.filter(({ from, specifier }) => {
      const name = specifier.startsWith("node:") ? specifier : `node:${specifier}`;
      const allowed = DOORS[name];
      return allowed !== undefined && !allowed.some((place) => from === place || from.startsWith(place));
    });
    expect(found.map(shown)).toEqual([]);
  });

  test.each(Object.keys(PURE))("of %s use no module of Node beyond their list", (folder) => {
    const found = imports.filter(
      ({ from, specifier }) =>
        folderOf(from) === folder && specifier.startsWith("node:") && !PURE[folder]?.includes(specifier),
    );
    expect(found.map(shown)).toEqual([]);
  });

  test("name the modules of Node with their prefix and need no require", () => {
    const bare = imports.filter(({ specifier }) =>
      /^(?:fs|crypto|path|os|util|events|stream|buffer)\b/u.test(specifier),
    );
    expect(bare.map(shown)).toEqual([]);
    expect(files.filter((path) => /\brequire\(/u.test(textOf(`src/${path}`)))).toEqual([]);
  });

  test("import the packages that an app installs, each of them and no other", () => {
    const { dependencies, optionalDependencies, peerDependencies } = JSON.parse(textOf("package.json")) as {
      dependencies: Record<string, string>;
      optionalDependencies: Record<string, string>;
      peerDependencies: Record<string, string>;
    };
    const packages = imports
      .filter(({ specifier, target }) => target === undefined && !specifier.startsWith("node:"))
      .map(({ specifier }) => /^(?:@[^/]+\/)?[^/]+/u.exec(specifier)?.[0] ?? specifier);
    expect([...new Set(packages)].toSorted()).toEqual(
      Object.keys({ ...dependencies, ...optionalDependencies, ...peerDependencies }).toSorted(),
    );
  });

  test("of the public index only pass on what others export", () => {
    const code = textOf("src/index.ts")
      .replaceAll(/\/\*[\s\S]*?\*\//gu, "")
      .replaceAll(/\/\/.*$/gmu, "")
      .replaceAll(/^export\s+(?:type\s+)?\{[^}]*\}\s+from\s+"[^"]+";$/gmu, "");
    expect(code.trim()).toBe("");
  });
});
