// Children run the built package: `npm run build` comes first.
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import type { CofferError } from "../src/errors.ts";
import { passphraseWith } from "../src/keystore/slots/passphrase.ts";
import type { Unlocker } from "../src/keystore/slots/way-in.ts";
import { createVault, describeVault, openVault, type Vault } from "../src/vault.ts";
import type { OpenVaultOptions } from "../src/vault-options.ts";
import type { VaultNotice } from "../src/vault-events.ts";
import { report } from "./field/scale.ts";
import { onSmallDrive } from "./field/small-drive.ts";
import { differenceOf, readTree } from "./field/trees.mjs";
import { driveScratchDirectories, scratchDirectories } from "./storage/scratch.ts";

const CHEAP = { memoryKiB: 8, passes: 1, lanes: 1 };
const way = (): Unlocker => passphraseWith("a test", { cost: CHEAP, floor: CHEAP });
const scratch = scratchDirectories();
const onDisk = driveScratchDirectories();
const isRoot = process.getuid?.() === 0;
const child = fileURLToPath(new URL("field/modes-child.mjs", import.meta.url));

/** A closed vault. */
async function newVault(): Promise<string> {
  const directory = join(await scratch(), "vault");
  const { vault } = await createVault(directory, { unlock: way() });
  await vault.kms.createKey({ alias: "alias/a" });
  await vault.close();
  return directory;
}

interface Opened {
  readonly vault: Vault | undefined;
  readonly error: CofferError | undefined;
  readonly notices: VaultNotice[];
}

async function open(directory: string, options: Partial<OpenVaultOptions> = {}): Promise<Opened> {
  const notices: VaultNotice[] = [];
  const onWarning = (notice: VaultNotice): void => void notices.push(notice);
  try {
    const vault = await openVault(directory, { unlock: way(), onWarning, ...options });
    vault.on("warning", onWarning).on("damage", onWarning);
    return { vault, error: undefined, notices };
  } catch (error) {
    return { vault: undefined, error: error as CofferError, notices };
  }
}

describe("modes", () => {
  test.each(["000", "022", "077"])("are 0600 and 0700 under umask %s, at every moment", async (umask) => {
    const directory = join(await scratch(), "vault");
    const seen = JSON.parse(
      execFileSync(process.execPath, [child, "umask", directory, umask], { encoding: "utf8" }),
    ) as Record<string, string[]>;
    expect(Object.keys(seen)).toEqual(["made", "used", "closed", "opened"]);
    for (const modes of Object.values(seen)) expect(modes).toEqual(["directory 700", "file 600"]);
  });
});

/** Puts something else into a file's place; returns what must not change. */
type Plant = (path: string) => { readonly outside?: string };

/** A folder outside the vault, removed with it. */
function outsideOf(path: string): string {
  const vault = path.slice(0, path.lastIndexOf("/vault/"));
  mkdirSync(join(vault, "elsewhere"), { recursive: true, mode: 0o700 });
  return join(vault, "elsewhere");
}

const PLANTS: Readonly<Record<string, Plant>> = {
  "symbolic link": (path) => {
    const outside = join(outsideOf(path), "outside");
    writeFileSync(outside, existsSync(path) ? readFileSync(path) : "outside", { mode: 0o640 });
    rmSync(path, { recursive: true, force: true });
    symlinkSync(outside, path);
    return { outside };
  },
  "dangling link": (path) => {
    const outside = join(outsideOf(path), "nothing");
    rmSync(path, { recursive: true, force: true });
    symlinkSync(outside, path);
    return { outside };
  },
  FIFO: (path) => {
    rmSync(path, { recursive: true, force: true });
    execFileSync("mkfifo", ["-m", "600", path]);
    return {};
  },
  folder: (path) => {
    rmSync(path, { recursive: true, force: true });
    mkdirSync(path, { mode: 0o700 });
    return {};
  },
  "hard link": (path) => {
    const outside = join(outsideOf(path), "outside");
    writeFileSync(outside, existsSync(path) ? readFileSync(path) : "outside", { mode: 0o600 });
    rmSync(path, { recursive: true, force: true });
    linkSync(outside, path);
    return { outside };
  },
};

function outsideState({ outside }: { readonly outside?: string }): string {
  if (outside === undefined || !existsSync(outside)) return "nothing";
  return `${lstatSync(outside).mode.toString(8)} ${readFileSync(outside).toString("hex")}`;
}

describe.each(Object.entries(PLANTS))("a planted %s", (kind, plant) => {
  test.each(["header.0", "header.1"])(
    "in the place of %s costs nothing outside, and the other copy serves",
    async (name) => {
      const directory = await newVault();
      const planted = plant(join(directory, name));
      const before = outsideState(planted);
      const { vault, error, notices } = await open(directory);
      expect(error).toBeUndefined();
      if (kind !== "hard link") expect(notices.map(({ type }) => type)).toContain("damage");
      const change = await vault?.kms
        .createKey({ alias: "alias/b" })
        .catch((reason: unknown) => reason as CofferError);
      // Nothing is renamed onto a folder: the change is refused, and the folder left to its owner.
      if (kind === "folder") expect(change).toMatchObject({ code: "COFFER_IO" });
      else expect(change).toHaveProperty("keyMetadata");
      await vault?.close();
      expect(outsideState(planted)).toBe(before);
      if (kind === "folder") return;
      expect(lstatSync(join(directory, name)).isFile()).toBe(true);
      const again = await open(directory);
      expect(again.notices).toEqual([]);
      await again.vault?.close();
    },
  );

  test.each(["header.0.tmp", "header.1.tmp"])("under the name %s is not written through", async (name) => {
    const directory = await newVault();
    const planted = plant(join(directory, name));
    const before = outsideState(planted);
    const { vault, error } = await open(directory);
    expect(error).toBeUndefined();
    const change = await vault?.kms
      .createKey({ alias: "alias/b" })
      .catch((reason: unknown) => reason as CofferError);
    if (kind === "folder") expect(change).toMatchObject({ code: "COFFER_IO" });
    else expect(change).toHaveProperty("keyMetadata");
    await vault?.close();
    expect(outsideState(planted)).toBe(before);
  });

  test("in the place of vault.lock is refused, or replaced without writing through it", async () => {
    const directory = await newVault();
    const planted = plant(join(directory, "vault.lock"));
    const before = outsideState(planted);
    const { vault, error } = await open(directory);
    if (kind === "hard link") expect(error).toBeUndefined();
    else expect(error).toMatchObject({ code: "COFFER_DAMAGED", details: { part: "lock" } });
    await vault?.close();
    expect(outsideState(planted)).toBe(before);
  });

  test.each(["CURRENT", "LOG", "LOCK"])(
    "in the database, as %s, is refused or costs nothing outside",
    async (name) => {
      const directory = await newVault();
      const planted = plant(join(directory, "db-1", name));
      const before = outsideState(planted);
      const tree = readTree(directory);
      const { vault, error } = await open(directory);
      if (kind === "hard link") {
        expect(error).toBeUndefined();
        await vault?.kms.createKey({ alias: "alias/b" });
        await vault?.close();
      } else {
        expect(error).toMatchObject({ code: "COFFER_DAMAGED", details: { part: "database" } });
        expect(differenceOf(tree, readTree(directory))).toBeUndefined();
      }
      expect(outsideState(planted)).toBe(before);
    },
  );

  test.each(["db-1.keep", "db-1.keep-new", "db-1.keep-old", "db-1.failed"])(
    "under the name %s is not followed, and does not hang",
    async (name) => {
      const directory = await newVault();
      if (kind === "folder" && name === "db-1.keep") return; // what an interrupted open leaves: see the next test
      const planted = plant(join(directory, name));
      const before = outsideState(planted);
      const { vault, error } = await open(directory);
      if (error !== undefined) expect(error).toMatchObject({ code: "COFFER_IO" });
      await vault?.close();
      expect(outsideState(planted)).toBe(before);
      rmSync(join(directory, name), { recursive: true, force: true });
      const again = await open(directory);
      expect(again.error).toBeUndefined();
      await again.vault?.kms.describeKey({ keyId: "alias/a" });
      await again.vault?.close();
    },
  );

  test.each(["objects", "incoming"])(
    "in the place of %s is warned of, and refused in strict mode",
    async (name) => {
      if (kind === "folder") return; // that is what belongs there
      const directory = await newVault();
      rmSync(join(directory, name), { recursive: true });
      const planted = plant(join(directory, name));
      const before = outsideState(planted);
      const strict = await open(directory, { strict: true });
      if (kind === "hard link") {
        await strict.vault?.close();
      } else {
        expect(strict.error).toMatchObject({ code: "COFFER_ACCESS_DENIED" });
        const { vault, notices } = await open(directory);
        expect(notices.map(({ type }) => type)).toContain("warning");
        await vault?.close();
      }
      expect(outsideState(planted)).toBe(before);
    },
  );
});

/** The objects of a vault, by their paths in it. */
function objectsIn(directory: string): Record<string, string> {
  const files: Record<string, string> = {};
  for (const name of readdirSync(join(directory, "objects"), { recursive: true, encoding: "utf8" })) {
    const path = join("objects", name);
    if (name.endsWith(".cof")) files[path] = readFileSync(join(directory, path)).toString("base64");
  }
  return files;
}

const BYTES = new Uint8Array(20_000).fill(7);

describe("a folder of the file store that is a link to another vault's", () => {
  /** A closed vault with files, one of whose objects lies in the folder that is returned. */
  async function victim(): Promise<{ directory: string; shard: string; name: string }> {
    const directory = await newVault();
    const { vault } = await open(directory);
    for (let n = 0; n < 4; n++) await vault?.store.write(`f${n}`, BYTES);
    await vault?.close();
    const path = Object.keys(objectsIn(directory))[0] as string;
    return { directory, shard: join(directory, dirname(path)), name: basename(path) };
  }

  test("in the place of incoming: nothing there is removed, moved, read or written", async () => {
    const { directory: theirs, shard } = await victim();
    const before = objectsIn(theirs);
    const directory = await newVault();
    const { vault: first } = await open(directory);
    await first?.store.write("mine", BYTES);
    await first?.close();
    const own = objectsIn(directory);
    rmSync(join(directory, "incoming"), { recursive: true });
    symlinkSync(shard, join(directory, "incoming"));
    const { vault, notices } = await open(directory);
    await expect
      .poll(() => notices.map(({ message }) => message))
      .toContainEqual(expect.stringContaining("incoming"));
    const refusal = { code: "COFFER_IO", details: { reason: "not-a-folder" } };
    await expect(vault?.store.write("new", BYTES)).rejects.toMatchObject(refusal);
    expect(await vault?.store.read("mine")).toEqual(BYTES);
    await vault?.close();
    expect(objectsIn(theirs)).toEqual(before);
    expect(objectsIn(directory)).toEqual(own);
    rmSync(join(directory, "incoming"));
    const again = await open(directory);
    await again.vault?.store.write("new", BYTES);
    expect((await again.vault?.store.verify())?.problems).toEqual([]);
    await again.vault?.close();
  });

  test.each(["objects", "a folder in objects"])(
    "in the place of %s: nothing there is removed, replaced or read",
    async (what) => {
      const directory = await newVault();
      const { vault: first } = await open(directory);
      await first?.store.write("removed", BYTES);
      await first?.store.write("kept", BYTES);
      await first?.store.write("small", "small");
      await first?.close();
      // The other "vault" holds the very objects, so that every name in it is one that this vault knows.
      const theirs = join(await scratch(), "theirs");
      const folders = what === "objects" ? ["objects"] : readdirSync(join(directory, "objects"));
      for (const folder of folders) {
        const path = what === "objects" ? join(directory, folder) : join(directory, "objects", folder);
        mkdirSync(theirs, { recursive: true });
        renameSync(path, join(theirs, folder));
        symlinkSync(join(theirs, folder), path);
      }
      const before = readTree(theirs);
      const { vault } = await open(directory);
      const refusal = { code: "COFFER_IO", details: { reason: "not-a-folder" } };
      await expect(vault?.store.read("kept")).rejects.toMatchObject(refusal);
      await expect(vault?.store.remove("removed", { purge: true })).rejects.toMatchObject({
        code: "COFFER_IO",
      });
      expect(await vault?.store.read("small")).toEqual(new TextEncoder().encode("small"));
      const writes = await Promise.allSettled(
        Array.from({ length: 8 }, async (_, n) => vault?.store.write(`n${n}`, BYTES)),
      );
      const verifying = vault?.store.verify();
      if (what === "objects") {
        for (const write of writes) expect(write).toMatchObject({ reason: refusal });
        await expect(verifying).rejects.toMatchObject(refusal);
      } else {
        // What has its place in the link is durable, and stays in incoming.
        expect(writes.map(({ status }) => status)).toEqual(writes.map(() => "fulfilled"));
        const unreadable = expect.objectContaining({ path: "kept", problem: "unreadable" }) as unknown;
        expect((await verifying)?.problems).toContainEqual(unreadable);
      }
      await vault?.close();
      expect(differenceOf(before, readTree(theirs))).toBeUndefined();
    },
  );

  test("once it was looked at is looked at again before what was removed is taken away", async () => {
    const directory = await newVault();
    const { vault } = await open(directory);
    await vault?.store.write("first", BYTES);
    const reader = await vault?.store.open("first");
    await vault?.store.remove("first");
    // While it is read it stays.
    const theirs = join(await scratch(), "theirs");
    renameSync(join(directory, "objects"), theirs);
    symlinkSync(theirs, join(directory, "objects"));
    const before = readTree(theirs);
    await reader?.close();
    await vault?.close();
    expect(differenceOf(before, readTree(theirs))).toBeUndefined();
  });
});

describe("the directory itself", () => {
  test("may be named by a link, and is then locked and opened by its own path", async () => {
    const directory = await newVault();
    const link = join(await scratch(), "link");
    symlinkSync(directory, link);
    const { vault } = await open(link);
    expect(vault?.directory).toBe(directory);
    await vault?.close();
  });

  test.each(["FIFO", "file"])("that is a %s is no vault, at once", async (kind) => {
    const path = join(await scratch(), "vault");
    if (kind === "FIFO") execFileSync("mkfifo", [path]);
    else writeFileSync(path, "");
    expect((await open(path)).error).toMatchObject({ code: "COFFER_VAULT_NOT_FOUND" });
    expect(await describeVault(path)).toEqual({ exists: false });
    await expect(createVault(path, { unlock: way() })).rejects.toMatchObject({
      code: "COFFER_INVALID_ARGUMENT",
    });
  });

  test("with a link in the database's place is refused, and what it points to is not touched", async () => {
    const directory = await newVault();
    const outside = join(await scratch(), "elsewhere");
    renameSync(join(directory, "db-1"), outside);
    symlinkSync(outside, join(directory, "db-1"));
    const before = readTree(outside);
    expect((await open(directory)).error).toMatchObject({ code: "COFFER_DAMAGED" });
    expect(differenceOf(before, readTree(outside))).toBeUndefined();
  });
});

describe("others who can reach a vault", () => {
  const findings: [string, (directory: string) => void][] = [
    ["its directory is open to others", (directory) => chmodSync(directory, 0o755)],
    ["a file is readable by others", (directory) => chmodSync(join(directory, "header.0"), 0o644)],
    ["the database is open to its group", (directory) => chmodSync(join(directory, "db-1"), 0o750)],
    ["the directory around it is writable by all", (directory) => chmodSync(dirname(directory), 0o777)],
  ];
  if (isRoot) {
    // Only root gives files away.
    findings.push(
      ["its directory belongs to somebody else", (directory) => chownSync(directory, 12_345, 12_345)],
      [
        "a file belongs to somebody else",
        (directory) => chownSync(join(directory, "header.1"), 12_345, 12_345),
      ],
      [
        "the directory around it belongs to somebody else",
        (directory) => chownSync(dirname(directory), 12_345, 12_345),
      ],
    );
  } else {
    report("foreign owners", { notRun: "only root can give files away" });
  }

  test.each(findings)(
    "when %s: warned of, and refused in strict mode without a change",
    async (_what, expose) => {
      const directory = await newVault();
      expose(directory);
      const before = readTree(directory);
      const strict = await open(directory, { strict: true });
      expect(strict.error).toMatchObject({ code: "COFFER_ACCESS_DENIED" });
      expect(differenceOf(before, readTree(directory))).toBeUndefined();
      const { vault, notices } = await open(directory);
      expect(notices.map(({ type }) => type)).toContain("warning");
      await vault?.kms.describeKey({ keyId: "alias/a" });
      await vault?.close();
    },
  );
});

test("on a medium that cannot be written a vault opens for reading, and leaves no copy behind", async () => {
  const drive = join(await onDisk(), "drive");
  mkdirSync(drive, { mode: 0o700 });
  const temporary = join(await onDisk(), "tmp");
  const within = onSmallDrive(drive);
  if (within === undefined && isRoot) {
    report("read-only medium", { notRun: "nothing can be mounted here, and root may write everywhere" });
    return;
  }
  const mode = within === undefined ? "unmounted" : "mounted";
  const [command, ...args] = [...(within ?? []), process.execPath, child, mode, drive, temporary];
  const answer = JSON.parse(execFileSync(command, args, { encoding: "utf8" })) as Record<string, unknown>;
  expect(answer).toEqual({
    isReadOnly: true,
    plaintext: "on a disc",
    refused: expect.objectContaining({ code: "COFFER_IO", reason: "read-only" }) as unknown,
    refusedTrial: expect.objectContaining({ code: "COFFER_IO", reason: "read-only" }) as unknown,
    keys: 1,
    notices: ["warning"],
    whileOpen: 1,
    afterwards: [],
    isUnchanged: true,
  });
});
