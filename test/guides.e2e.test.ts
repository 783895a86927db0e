// The script runs the built package: `npm run build` comes first.
import { execFile } from "node:child_process";
import { mkdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { beforeEach, expect, test } from "vitest";
import { parseArguments } from "../src/adapters/cli/arguments.ts";
import { selectCommand } from "../src/adapters/cli/commands.ts";
import { Output } from "../src/adapters/cli/output.ts";
import { createVault, openVault, recovery } from "../src/index.ts";
import { root, textOf } from "./source-files.ts";
import { scratchDirectories } from "./storage/scratch.ts";
import { cheapPassphrase } from "./vault-files.ts";

const scratch = scratchDirectories();

/** A machine with a vault, the paper with its recovery code, and a drive that is carried about. */
let machine = "";
let drive = "";
let code = "";

beforeEach(async () => {
  machine = await scratch();
  drive = await scratch();
  const { vault, recoveryCode } = await createVault(join(machine, "my.vault"), { unlock: cheapPassphrase() });
  await vault.kms.createKey({ alias: "alias/kept" });
  await vault.close();
  await writeCode(recoveryCode);
});

async function writeCode(text: string): Promise<void> {
  code = text;
  await writeFile(join(machine, "code.txt"), `${text}\n`, { mode: 0o600 });
}

function blocks(guide: string, language: string): string[] {
  const found = textOf(guide).matchAll(/^ *```(\w+)\n(.*?)^ *```$/gmsu);
  return [...found].flatMap(([, name, text = ""]) => (name === language ? [text] : []));
}

/** The command lines of a guide, block by block. */
function commandsOf(guide: string): string[][] {
  return blocks(guide, "sh").map((block) =>
    block.split("\n").flatMap((line) => /^ *npx coffer (.+)$/u.exec(line)?.[1] ?? []),
  );
}

class KeptOutput extends Output {
  value: unknown;
  lines: readonly string[] = [];
  override async result(value: unknown, lines: readonly string[]): Promise<void> {
    this.value = value;
    this.lines = lines;
  }
}

/** Follows one line as it stands, on this machine and drive; the secret comes from the paper. */
async function follow(line: string, id = ""): Promise<KeptOutput> {
  const [text = "", file] = line.split(" > ");
  const place = (word: string): string => {
    if (word.startsWith("/media/usb/")) return word.replace("/media/usb", drive);
    if (word === "my.vault" || word === "code.txt") return join(machine, word);
    return word === "ID" ? id : word;
  };
  const { command, rest } = selectCommand(text.split(" ").map(place)) as Extract<
    ReturnType<typeof selectCommand>,
    { rest: unknown }
  >;
  const output = new KeptOutput(true);
  const secrets = text.includes("--recovery-code-file")
    ? []
    : ["--recovery-code-file", join(machine, "code.txt")];
  if (text.includes("change-passphrase")) {
    await writeFile(join(machine, "new.txt"), "six fresh words from the guide\n");
    secrets.push("--new-passphrase-file", join(machine, "new.txt"));
  }
  const args = parseArguments(command, [...rest, ...secrets]);
  await command.run({ args, output, signal: new AbortController().signal });
  if (file !== undefined) await writeFile(place(file), `${output.lines.join("\n")}\n`);
  return output;
}

async function aliases(): Promise<string[]> {
  const vault = await openVault(join(machine, "my.vault"), { unlock: recovery(code) });
  try {
    return (await vault.kms.listAliases({})).aliases.map(({ aliasName }) => aliasName).sort();
  } finally {
    await vault.close();
  }
}

/** Another key, made by somebody who goes on working. */
async function work(): Promise<void> {
  const vault = await openVault(join(machine, "my.vault"), { unlock: recovery(code) });
  await vault.kms.createKey({ alias: "alias/later" });
  await vault.close();
}

test("docs/recovery.md gives a forgotten passphrase and a lost code back", async () => {
  const [[change = "", add = "", list = "", remove = "", ...more] = [], ...others] =
    commandsOf("docs/recovery.md");
  expect([...more, ...others]).toEqual([]);
  await follow(change);
  const { recoveryCode } = (await follow(add)).value as { recoveryCode: string };
  const { slots } = (await follow(list)).value as { slots: { id: string; kind: string }[] };
  expect(slots.map(({ kind }) => kind)).toEqual(["passphrase", "recovery", "recovery"]);
  await follow(remove, slots[1]?.id);
  await expect(aliases()).rejects.toMatchObject({ code: "COFFER_WRONG_SECRET" });
  await writeCode(recoveryCode);
  expect(await aliases()).toEqual(["alias/default", "alias/kept"]);
});

test("docs/backup.md brings a lost vault back, and tells an older one by its anchor", async () => {
  const [
    [backup = "", verify = "", restore = "", ...more] = [],
    [anchor = "", check = ""] = [],
    [accept = ""] = [],
    ...others
  ] = commandsOf("docs/backup.md");
  expect([...more, ...others]).toEqual([]);
  await follow(backup);
  await follow(verify);
  await work();
  await follow(anchor);
  await follow(check);
  await expect(follow(restore)).rejects.toMatchObject({ code: "COFFER_VAULT_EXISTS" });
  await rm(join(machine, "my.vault"), { recursive: true });
  await follow(restore);
  await expect(follow(check)).rejects.toMatchObject({ code: "COFFER_ROLLED_BACK" });
  await follow(accept);
  await follow(check);
  expect(await aliases()).toEqual(["alias/default", "alias/kept"]);
});

test("docs/moving.md leaves one vault, and notices what was changed after its backup", async () => {
  const [[backup = "", anchor = "", ...more] = [], [verify = "", restore = "", check = ""] = [], ...others] =
    commandsOf("docs/moving.md");
  expect([...more, ...others]).toEqual([]);
  const old = machine;
  await follow(backup);
  await follow(anchor);
  machine = await scratch();
  await writeCode(code);
  for (const line of [verify, restore, check]) await follow(line);
  expect(await aliases()).toEqual(["alias/default", "alias/kept"]);
  const moved = machine;
  machine = old;
  await work();
  await follow(anchor);
  machine = moved;
  await expect(follow(check)).rejects.toMatchObject({ code: "COFFER_ROLLED_BACK", reason: "anchor" });
});

test("the code in docs/recovery.md and docs/backup.md runs", async () => {
  const [recover = ""] = blocks("docs/recovery.md", "js");
  const [backup = "", anchor = "", accept = ""] = blocks("docs/backup.md", "js");
  await mkdir(join(machine, "node_modules"));
  await symlink(root, join(machine, "node_modules/coffer"), "dir");
  const here = (text: string): string =>
    text
      .replaceAll("/media/usb", drive)
      .replaceAll(/^import .*$/gmu, "")
      .replaceAll("unlock,", "unlock: unlock(),");
  const [, ...restoring] = backup.split(/^await vault\.backup.*$/mu);
  const making = /^await vault\.backup.*$/mu.exec(backup)?.[0] ?? "";
  const [taking = "", opening = ""] = anchor.split(/(?=^const vault)/mu);
  // As an app would have them; a cheap passphrase is what this vault was made with.
  const source = `
    import { rename } from "node:fs/promises";
    import { openVault, recovery, restoreVault } from "coffer";
    import { cheapPassphrase as passphrase } from "coffer/testing";
    const fresh = "fresh", code = ${JSON.stringify(code)};
    const unlock = () => recovery(code);
    let anchor, typed = code;
    { ${here(recover)}; await vault.close(); }
    typed = fresh;
    { const vault = await openVault("./my.vault", { unlock: unlock() });
      ${here(making)}
      await vault.kms.createKey({ alias: "alias/later" });
      ${here(taking).replace("const anchor", "anchor")}
      await vault.close(); }
    { ${here(opening)}; await vault.close(); }
    await rename("my.vault", "lost.vault");
    { ${here(restoring.join(""))}; await vault.close(); }
    { ${here(accept)};
      console.log((await vault.kms.listAliases({})).aliases.length); await vault.close(); }`;
  await writeFile(join(machine, "package.json"), '{ "type": "module" }');
  await writeFile(join(machine, "app.js"), source);
  const { stdout } = await promisify(execFile)(process.execPath, ["app.js"], { cwd: machine });
  expect(stdout).toBe("2\n");
});

test("docs/store.md brings a folder in, lists it, gives it back and checks it", async () => {
  const [[bring = "", list = "", giveBack = "", verify = "", ...more] = [], ...others] =
    commandsOf("docs/store.md");
  expect([...more, ...others]).toEqual([]);
  await mkdir(join(drive, "photos/2030"), { recursive: true });
  await writeFile(join(drive, "photos/2030/one.jpg"), "a photo");
  await follow(bring);
  expect((await follow(list)).lines.join()).toContain("2030");
  await follow(giveBack);
  expect(await readFile(join(drive, "given-back/2030/one.jpg"), "utf8")).toBe("a photo");
  expect((await follow(verify)).value).toMatchObject({ files: 1, problems: [] });
});

test("the code in docs/store.md serves a film by ranges, and keeps what it wrote through a rotation", async () => {
  const [use = "", attach = "", serve = "", relaxed = "", keys = "", verify = "", ...others] = blocks(
    "docs/store.md",
    "js",
  );
  expect(others).toEqual([]);
  await mkdir(join(machine, "node_modules/electron"), { recursive: true });
  await symlink(root, join(machine, "node_modules/coffer"), "dir");
  const electron = `exports.handlers = {};
    exports.ipcMain = { handle: (name, work) => { exports.handlers[name] = work; } };
    exports.app = { whenReady: async () => undefined };
    exports.protocol = { registerSchemesAsPrivileged() {}, handle: exports.ipcMain.handle };`;
  await writeFile(join(machine, "node_modules/electron/index.js"), electron);
  await mkdir(join(machine, "photos"));
  await writeFile(join(machine, "photos/large.jpg"), Buffer.alloc(100_000, 1));
  const here = (text: string): string => text.replaceAll(/^import .*$/gmu, "");
  const source = `import assert from "node:assert/strict";
    import { setImmediate } from "node:timers/promises";
    import { isCofferError, openVault, recovery } from "coffer";
    import electron from "electron";
    const { app, handlers, ipcMain, protocol } = electron;
    const vault = await openVault("my.vault", { unlock: recovery(${JSON.stringify(code)}) });
    const bytes = new Uint8Array(50_000).map((_, at) => at % 251);
    const shown = [];
    const show = (...what) => shown.push(what);
    { ${here(use)}; assert.deepEqual(new Uint8Array(photo), bytes); assert.equal(shown[0][0], "photo.jpg"); }
    ${here(attach)}
    ${here(serve)}
    await setImmediate();
    await handlers.attach({}, { mail: 7, name: "../a film?.mp4", type: "video/mp4", bytes });
    const names = (await handlers.attachments({}, 7)).map(({ name }) => name);
    assert.deepEqual(names, [".._a film?.mp4", "photo.jpg"]);
    const get = async (name, range) => {
      const headers = range === undefined ? {} : { range };
      const url = \`vault://store/mail/7/\${encodeURIComponent(name)}\`;
      const answer = await handlers.vault(new Request(url, { headers }));
      return [answer.status, answer.headers.get("content-range"), new Uint8Array(await answer.arrayBuffer()), answer];
    };
    const [status, none, whole, answer] = await get(names[0]);
    assert.deepEqual([status, none, whole], [200, null, bytes]);
    assert.equal(answer.headers.get("content-type"), "video/mp4");
    assert.deepEqual((await get(names[0], "bytes=40000-40009")).slice(0, 3),
      [206, "bytes 40000-40009/50000", bytes.subarray(40000, 40010)]);
    assert.deepEqual((await get(names[0], "bytes=49990-")).slice(0, 3),
      [206, "bytes 49990-49999/50000", bytes.subarray(49990)]);
    assert.deepEqual((await get(names[0], "bytes=50000-")).slice(0, 2), [416, "bytes */50000"]);
    assert.equal((await get("none"))[0], 404);
    ${here(relaxed)}
    const id = (await vault.kms.describeKey()).keyMetadata.keyId;
    { ${here(keys)} }
    assert.equal((await vault.kms.describeKey()).keyMetadata.keyId, id);
    assert.deepEqual(await vault.store.rewrapAll(), { rewrapped: 0, unchanged: 4 });
    shown.length = 0;
    { ${here(verify)}; assert.deepEqual(problems, []); }
    assert.deepEqual(shown.at(-1), [250_000, 250_000]);
    await vault.close();
    console.log("done");`;
  await writeFile(join(machine, "package.json"), '{ "type": "module" }');
  await writeFile(join(machine, "app.js"), source);
  const { stdout } = await promisify(execFile)(process.execPath, ["app.js"], { cwd: machine });
  expect(stdout).toBe("done\n");
});
