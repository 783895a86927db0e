import { execFile } from "node:child_process";
import { mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { Kms } from "../src/kms/kms.ts";
import { root, textOf } from "./source-files.ts";
import { scratchDirectories } from "./storage/scratch.ts";

const guide = textOf("docs/migrate.md");
const mapping = textOf("docs/kms-mapping.md");
const scratch = scratchDirectories();

/** Answers Encrypt and Decrypt like the cloud's client, with an encryption that only shows that it was called. */
const CLOUD = `
  export class EncryptCommand { constructor(input) { this.input = input; } }
  export class DecryptCommand { constructor(input) { this.input = input; } }
  const turned = (bytes) => Uint8Array.from(bytes, (byte) => byte ^ 0x5a);
  export class KMSClient {
    async send({ input: { Plaintext, CiphertextBlob, EncryptionContext } }) {
      if (EncryptionContext.purpose !== "api-token") throw new Error("InvalidCiphertextException");
      return Plaintext ? { CiphertextBlob: turned(Plaintext) } : { Plaintext: turned(CiphertextBlob) };
    }
  }`;

/** The programs of the guide by their names. */
function programs(): Map<string, string> {
  const blocks = [...guide.matchAll(/^```js\n\/\/ (\S+)\n(.*?)^```$/gmsu)];
  return new Map(blocks.map(([, name = "", text = ""]) => [name, text]));
}

describe("docs/migrate.md", () => {
  test("moves an app's secrets from the cloud into a vault, once", async () => {
    const app = await scratch();
    const modules = join(app, "node_modules");
    await mkdir(join(modules, "@aws-sdk/client-kms"), { recursive: true });
    await mkdir(join(app, "secrets"));
    await symlink(root, join(modules, "coffer"), "dir");
    await writeFile(join(app, "package.json"), '{ "type": "module" }\n');
    const manifest = '{ "name": "@aws-sdk/client-kms", "type": "module", "exports": "./index.js" }\n';
    await writeFile(join(modules, "@aws-sdk/client-kms/package.json"), manifest);
    await writeFile(join(modules, "@aws-sdk/client-kms/index.js"), CLOUD);
    expect([...programs().keys()]).toEqual(["cloud.js", "prepare.js", "local.js", "move.js"]);
    for (const [name, text] of programs()) await writeFile(join(app, name), text);
    const run = async (...args: string[]): Promise<string> => {
      const env = { ...process.env, VAULT_PASSPHRASE: "correct horse battery staple" };
      const { stdout } = await promisify(execFile)(process.execPath, args, {
        cwd: app,
        env,
        timeout: 30_000,
      });
      return stdout;
    };
    const script = (source: string): Promise<string> => run("--input-type=module", "-e", source);
    await script(`import { writeFileSync } from "node:fs"; import { seal } from "./cloud.js";
      for (const name of ["a", "b"]) writeFileSync("secrets/" + name, await seal("token " + name));`);
    expect(await run("prepare.js")).toMatch(/: (?:[0-9A-Z]{4}-){15}[0-9A-Z]{4}\n$/u);
    expect(await run("move.js")).toBe("2 moved\n");
    expect((await readFile(join(app, "secrets/a"))).subarray(0, 3).toString()).toBe("COB");
    expect(await run("move.js")).toBe("0 moved\n");
    const opened =
      await script(`import { readFileSync } from "node:fs"; import { open, vault } from "./local.js";
      console.log(Buffer.from(await open(readFileSync("secrets/b"))).toString()); await vault.close();`);
    expect(opened).toBe("token b\n");
  });
});

describe("docs/kms-mapping.md", () => {
  test("has a row for every operation of vault.kms, and no other", () => {
    const methods = Object.getOwnPropertyNames(Kms.prototype).filter(
      (name) => !["constructor", "toString", "toJSON"].includes(name),
    );
    const rows = [...mapping.matchAll(/^\| `([a-zA-Z]+)`/gmu)].map(([, name = ""]) => name);
    expect(rows.toSorted()).toEqual(methods.toSorted());
  });

  test("links only to headings and files that are there", () => {
    const anchors = (text: string): string[] =>
      [...text.matchAll(/^#+ (.*)$/gmu)].map(([, title = ""]) =>
        title
          .toLowerCase()
          .replaceAll(/[^a-z0-9 -]/gu, "")
          .replaceAll(" ", "-"),
      );
    const targets = [...guide.matchAll(/\]\(kms-mapping\.md#([^)]+)\)/gu)].map(([, anchor = ""]) => anchor);
    expect(targets.length).toBeGreaterThan(0);
    expect(targets.filter((anchor) => !anchors(mapping).includes(anchor))).toEqual([]);
  });
});
