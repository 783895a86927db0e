import { execFile } from "node:child_process";
import { cp, mkdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { beforeAll, expect, test } from "vitest";
import { root } from "../../../source-files.ts";
import { scratchDirectories } from "../../../storage/scratch.ts";
import { addToken, PIN, softHsm, type TokenAccess } from "./token-ground.ts";

const scratch = scratchDirectories();
let hsm: TokenAccess;

beforeAll(async () => {
  hsm = await softHsm(await scratch());
  await addToken(hsm, "t", [{ kind: "ec256", id: "03" }]);
});

/** An app with the files that the package ships, its dependencies, and `pkcs11js` as given. */
async function appWith(pkcs11js: (folder: string) => Promise<void>): Promise<string> {
  const app = await scratch();
  const modules = join(app, "node_modules");
  await mkdir(join(modules, "coffer"), { recursive: true });
  await cp(join(root, "dist"), join(modules, "coffer/dist"), { recursive: true });
  await cp(join(root, "package.json"), join(modules, "coffer/package.json"));
  for (const name of ["level", "cbor-x", "valibot", "argon2", "hash-wasm", "fastest-levenshtein"]) {
    await symlink(join(root, "node_modules", name), join(modules, name), "dir");
  }
  await writeFile(join(app, "package.json"), '{ "type": "module" }');
  await pkcs11js(join(modules, "pkcs11js"));
  const source = `
    import { createVault, openVault, pkcs11, listTokens } from "coffer";
    const options = ${JSON.stringify(hsm)};
    const told = (error) => console.log(JSON.stringify({ code: error.code, message: error.message }));
    await listTokens(options).catch(told);
    try {
      const unlock = () => pkcs11({ ...options, pin: ${JSON.stringify(PIN)} });
      const { vault } = await createVault("v", { unlock: unlock(), recoveryCode: false });
      await vault.close();
      await (await openVault("v", { unlock: unlock() })).close();
      console.log("opened");
    } catch (error) {
      told(error);
    }`;
  await writeFile(join(app, "app.mjs"), source);
  return app;
}

async function run(app: string): Promise<string> {
  const { stdout } = await promisify(execFile)(process.execPath, ["app.mjs"], { cwd: app, timeout: 30_000 });
  return stdout;
}

test("with its binding installed the packed package opens a vault by a token", async () => {
  const app = await appWith((folder) => symlink(join(root, "node_modules/pkcs11js"), folder, "dir"));
  expect(await run(app)).toBe("opened\n");
});

test("without it, every use says which command installs it", async () => {
  const lines = (await run(await appWith(async () => undefined))).trim().split("\n");
  expect(lines.length).toBe(2);
  for (const line of lines) {
    expect(JSON.parse(line)).toEqual({
      code: "COFFER_PKCS11_BINDING_MISSING",
      message: expect.stringContaining("npm install pkcs11js"),
    });
  }
});

test("with one that was not compiled, it says which command compiles it", async () => {
  const app = await appWith(async (folder) => {
    await mkdir(folder);
    for (const name of ["package.json", "index.js"]) {
      await cp(join(root, "node_modules/pkcs11js", name), join(folder, name));
    }
  });
  expect(await run(app)).toContain("npm rebuild pkcs11js");
});
