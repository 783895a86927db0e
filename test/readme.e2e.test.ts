import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { beforeAll, describe, expect, test } from "vitest";
import { root, textOf } from "./source-files.ts";
import { scratchDirectories } from "./storage/scratch.ts";

const readme = textOf("README.md");
const scratch = scratchDirectories();

function blocks(language: string): string[] {
  return [...readme.matchAll(/^```(\w+)\n(.*?)^```$/gmsu)].flatMap(([, name, text = ""]) =>
    name === language ? [text] : [],
  );
}

/** An app's folder, where the built package is installed under its name, with what the README leaves to the app. */
async function makeApp(): Promise<string> {
  const app = await scratch();
  await mkdir(join(app, "node_modules/electron"), { recursive: true });
  await symlink(root, join(app, "node_modules/coffer"), "dir");
  const electron = `exports.app = { getPath: () => ${JSON.stringify(app)} };\n`;
  await writeFile(join(app, "node_modules/electron/index.js"), electron);
  await writeFile(join(app, "package.json"), '{ "type": "module" }\n');
  const dialogs = `import { writeFileSync } from "node:fs";
    export const askPassphrase = async () => "correct horse battery staple";
    export const showRecoveryCode = async (code) => writeFileSync("code.txt", code);\n`;
  await writeFile(join(app, "dialogs.js"), dialogs);
  return app;
}

async function runScript(app: string, name: string, source: string): Promise<string> {
  await writeFile(join(app, name), source);
  const { stdout } = await promisify(execFile)(process.execPath, [name], { cwd: app, timeout: 30_000 });
  return stdout;
}

describe("the README", () => {
  test("begins with what it is and two commands that exist", () => {
    const [first = ""] = blocks("sh");
    expect(first.split("\n").map((line) => line.replace(/\s*#.*/u, ""))).toEqual([
      "npm ci && npm run demo",
      "npm ci && npm test",
      "",
    ]);
    expect(readme.indexOf("npm ci")).toBeLessThan(600);
    const { scripts } = JSON.parse(textOf("package.json")) as { scripts: Record<string, string> };
    expect(Object.keys(scripts)).toEqual(expect.arrayContaining(["demo", "test"]));
  });

  test("has an example of fewer than 30 lines", () => {
    const [example = ""] = blocks("js");
    expect(example.trimEnd().split("\n").length).toBeLessThan(30);
  });

  test("links only to files that exist", () => {
    const targets = [...readme.matchAll(/\]\(([^)#]+)[^)]*\)/gu)].map(([, target = ""]) => target);
    const files = targets.filter((target) => !target.includes("://"));
    expect(files).toContain("docs/format.md");
    expect(files.filter((path) => !existsSync(join(root, path)))).toEqual([]);
  });
});

describe("the README's code", () => {
  const [example = "", inAVault = "", files = "", inTheStore = "", ...others] = blocks("js");
  let app: string;

  beforeAll(async () => {
    app = await makeApp();
  });

  test("consists of the blocks that are run here", () => {
    expect(others).toEqual([]);
  });

  test("makes a vault at the first start and opens it at the second", async () => {
    expect(await runScript(app, "main.js", example)).toBe("6 bytes came back\n");
    const code = await readFile(join(app, "code.txt"), "utf8");
    expect(code).toMatch(/^(?:[0-9A-Z]{4}-){15}[0-9A-Z]{4}$/u);
    await writeFile(join(app, "code.txt"), "untouched");
    expect(await runScript(app, "main.js", example)).toBe("6 bytes came back\n");
    expect(await readFile(join(app, "code.txt"), "utf8")).toBe("untouched");
  });

  test("creates a key, makes a data key, locks and unlocks", async () => {
    const source = `import { openVault, passphrase } from "coffer";
      const vault = await openVault("my.vault", { unlock: passphrase("correct horse battery staple") });
      try {
        ${inAVault}
        const { plaintext } = await vault.kms.decrypt({ ciphertextBlob: dataKey.ciphertextBlob });
        console.log(vault.state, Buffer.from(dataKey.plaintext).equals(plaintext));
      } finally {
        await vault.close();
      }`;
    expect(await runScript(app, "more.js", source)).toBe("unlocked true\n");
  });

  test("encrypts a file, gives it back, reads in its middle, and pipes a stream through", async () => {
    const film = new Uint8Array(100_000).map((_, at) => at % 251);
    await writeFile(join(app, "film.mp4"), film);
    const source = `import { openVault, passphrase } from "coffer";
      const vault = await openVault("my.vault", { unlock: passphrase("correct horse battery staple") });
      try {
        ${files}
        console.log(middle.length, middle[0], text);
      } finally {
        await vault.close();
      }`;
    expect(await runScript(app, "files.js", source)).toBe(`4096 ${50_000 % 251} any web stream\n`);
    expect(new Uint8Array(await readFile(join(app, "film-back.mp4")))).toEqual(film);
    expect(await readFile(join(app, "film.mp4.cof"))).not.toEqual(await readFile(join(app, "film.mp4")));
  });

  test("keeps files in the store, streams a part of one, moves them, and gives all back", async () => {
    const film = await readFile(join(app, "film.mp4"));
    await mkdir(join(app, "attachments/letters"), { recursive: true });
    await writeFile(join(app, "attachments/letters/one.txt"), "a letter");
    const source = `import { openVault, passphrase } from "coffer";
      const vault = await openVault("my.vault", { unlock: passphrase("correct horse battery staple") });
      try {
        ${inTheStore}
        console.log((await store.verify()).problems.length);
      } finally {
        await vault.close();
      }`;
    expect((await runScript(app, "store.js", source)).split("\n")).toEqual([
      "mail/2030: 0",
      "mail/2030/film.mp4: 100000",
      "mail/2030/letters: 0",
      "mail/2030/letters/one.txt: 8",
      "2000",
      "0",
      "",
    ]);
    expect(await readFile(join(app, "given-back/2030/film.mp4"))).toEqual(film);
    expect(await readFile(join(app, "given-back/2030/letters/one.txt"), "utf8")).toBe("a letter");
  });
});

describe("the README's command line", () => {
  const lines = blocks("sh").flatMap((block) =>
    block.split("\n").filter((line) => line.startsWith("npx coffer ")),
  );

  test("makes a vault and a key, and gives back the file that it encrypted", async () => {
    const app = await makeApp();
    await writeFile(join(app, "passphrase.txt"), "correct horse battery staple\n");
    await mkdir(join(app, "certs"));
    await writeFile(join(app, "certs/key.pem"), "a private key\n");
    const main = join(root, "dist/adapters/cli/main.js");
    const outputs: string[] = [];
    for (const line of lines) {
      const args = line.split(" ").slice(2);
      // In place of the terminal that asks.
      if (args[0] !== "status") args.push("--passphrase-file", "passphrase.txt");
      const { stdout } = await promisify(execFile)(process.execPath, [main, ...args], { cwd: app });
      outputs.push(stdout);
    }
    expect(lines.map((line) => line.split(" ")[2])).toEqual([
      "init",
      "key",
      "encrypt",
      "decrypt",
      "store",
      "status",
    ]);
    expect(await readFile(join(app, "certs/decrypted_key.pem"), "utf8")).toBe("a private key\n");
    expect(outputs.at(-1)).toContain("passphrase");
  });
});
