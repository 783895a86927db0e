/**
 * Operations of a vault, each cut at every step: what a killed process and what power cuts leave opens, with all
 * that was acknowledged and nothing torn. And the other way round: without any one of the flushes something is lost.
 */
import { join } from "node:path";
import { expect, test } from "vitest";
import { type CofferErrorCode, isCofferError } from "../../src/errors.ts";
import type { Vault } from "../../src/vault.ts";
import { openVaultIn } from "../../src/vault.ts";
import { type CallName, HOME, SimulatedDisk, type SyncFilter } from "./simulated-disk.ts";
import type { DiskStep } from "./simulated-files.ts";
import { badCrashes, create, History, Inspector, open, secret, VAULT } from "./simulated-vault.ts";

/** A disk on which one operation is performed, and the steps that are its own. */
class Stage {
  readonly code: string;
  readonly #ignored: SyncFilter;
  history: History;
  #begun = 0;

  constructor(foundation: SimulatedDisk, code: string, ignored: SyncFilter) {
    this.code = code;
    this.#ignored = ignored;
    this.history = new History(this.#copyOf(foundation), new Set([undefined]));
  }

  get disk(): SimulatedDisk {
    return this.history.disk;
  }

  /** Begins anew on an empty disk. */
  emptied(): void {
    this.history = new History(this.#copyOf(SimulatedDisk.empty()), new Set([undefined]));
  }

  open(): Promise<Vault> {
    return this.history.pass("openVault", () => open(this.disk, this.code));
  }

  /** Opens, makes a change, and is killed at the step of it that `at` picks. */
  async killed(at: (step: DiskStep) => boolean): Promise<void> {
    const vault = await this.open();
    const begun = this.disk.steps;
    await this.history.pass("change", async () => (await change(vault), vault));
    let steps = begun;
    while (!at(this.disk.step(steps) as DiskStep)) steps++;
    const possible = this.history.possibleAfter(steps);
    this.history = new History(this.#copyOf(this.disk.killedAfter(steps)), possible);
  }

  /** Marks the beginning of what is tested. */
  begin(steps: number = this.disk.steps): void {
    this.#begun = steps;
  }

  bad(inspector: Inspector): Promise<string[]> {
    return badCrashes(this.history, inspector, this.#begun);
  }

  #copyOf(disk: SimulatedDisk): SimulatedDisk {
    const copy = disk.killedAfter(disk.steps);
    copy.ignoredSyncs = this.#ignored;
    return copy;
  }
}

function change(vault: Vault): Promise<unknown> {
  return vault.kms.createKey({ alias: "alias/made", tags: [{ tagKey: "kind", tagValue: "new" }] });
}

function isRenameTo(name: string): (step: DiskStep) => boolean {
  return (step) => step.type === "rename" && step.toName === name;
}

/** The flush of a batch that was appended to the database's file. */
function isFlushOfBatch(): (step: DiskStep) => boolean {
  let last: DiskStep | undefined;
  return (step) => {
    const isFlush = step.type === "sync" && last?.type === "write" && last.position > 0;
    last = step;
    return isFlush;
  };
}

async function keyIds(vault: Vault): Promise<string[]> {
  return (await vault.kms.listKeys()).keys.map(({ keyId }) => keyId);
}

/** Opens, performs on the open vault what is tested, and leaves it open. */
function onOpenVault(perform: (vault: Vault, stage: Stage) => Promise<unknown>) {
  return async (stage: Stage): Promise<void> => {
    const vault = await stage.open();
    stage.begin();
    await stage.history.pass("operation", async () => (await perform(vault, stage), vault));
  };
}

/** Opens what a crash has left, and makes a change. */
async function openAndChange(stage: Stage): Promise<void> {
  stage.begin();
  const vault = await stage.open();
  await stage.history.pass("change", async () => {
    await vault.kms.createKey({ alias: "alias/after" });
    return vault;
  });
}

/** Awaits what must fail, with this code. */
async function refuses(performed: Promise<unknown>, code: CofferErrorCode): Promise<void> {
  const error = await performed.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!isCofferError(error, code)) throw new Error(`expected ${code}`, { cause: error });
}

/** Lets the next call of this name on such a path fail. */
function failOnce(disk: SimulatedDisk, name: CallName, path: RegExp): void {
  disk.faults = (call, at) => {
    if (call !== name || !path.test(at)) return undefined;
    disk.faults = () => undefined;
    return { code: "EIO" };
  };
}

const OPERATIONS: Readonly<Record<string, (stage: Stage) => Promise<void>>> = {
  "createVault where nothing is": async (stage) => {
    stage.emptied();
    await stage.history.pass("createVault", async () => (await create(stage.disk)).vault);
  },
  "createVault in an empty folder": async (stage) => {
    stage.emptied();
    await stage.disk.fs.mkdir(VAULT);
    stage.begin();
    await stage.history.pass("createVault", async () => (await create(stage.disk)).vault);
  },
  "createVault beside one that was killed": async (stage) => {
    stage.emptied();
    await create(stage.disk);
    const killed = stage.disk.killedAfter(40);
    stage.history = new History(killed, new Set([undefined]));
    await stage.history.pass("createVault", async () => (await create(stage.disk)).vault);
  },
  "openVault after an orderly close": async (stage) => void (await stage.open()),
  "openVault with a wrong secret": async (stage) => {
    const { environment } = stage.disk;
    const opening = openVaultIn(environment, VAULT, { unlock: secret("wrong") });
    await refuses(opening, "COFFER_WRONG_SECRET");
    await stage.open();
  },
  "openVault after a kill, and a change": async (stage) => {
    await stage.killed((step) => step.type === "unlink");
    await openAndChange(stage);
  },
  "openVault after a kill while the kept database was dropped": async (stage) => {
    await stage.killed((step) => step.type === "rmdir");
    await openAndChange(stage);
  },
  "openVault after a kill before the batch": async (stage) => {
    await stage.killed((step) => step.type === "create" && step.name === "header.1.tmp");
    await openAndChange(stage);
  },
  "openVault after a kill before the batch was flushed": async (stage) => {
    await stage.killed(isFlushOfBatch());
    await openAndChange(stage);
  },
  "openVault after a kill between batch and header": async (stage) => {
    await stage.killed(isRenameTo("header.0"));
    await openAndChange(stage);
  },
  "openVault after a kill between the two copies": async (stage) => {
    await stage.killed(isRenameTo("header.1"));
    await openAndChange(stage);
  },
  "close after a kill before the batch was flushed": async (stage) => {
    await stage.killed(isFlushOfBatch());
    const vault = await stage.open();
    stage.begin();
    await stage.history.pass("close", () => vault.close());
  },
  "close after a kill between batch and header": async (stage) => {
    await stage.killed(isRenameTo("header.0"));
    const vault = await stage.open();
    stage.begin();
    await stage.history.pass("close", () => vault.close());
  },
  "a change with a header copy lost": async (stage) => {
    stage.disk.put(join(VAULT, "header.1"), undefined);
    await openAndChange(stage);
  },
  "a change with a header copy damaged": async (stage) => {
    stage.disk.put(join(VAULT, "header.0"), new Uint8Array(300).fill(7));
    await openAndChange(stage);
  },
  "a change after the header was put back by another program": async (stage) => {
    const vault = await stage.open();
    for (const name of ["header.0", "header.1"]) {
      stage.disk.put(join(VAULT, name), stage.disk.bytes(join(VAULT, name)));
    }
    await stage.history.pass("change", async () => {
      await change(vault);
      return vault;
    });
    // Until the vault has flushed them, they are as durable as that program has made them.
    let begun = stage.disk.steps - 1;
    while (stage.disk.step(begun)?.type !== "create") begun--;
    stage.begin(begun);
  },
  "the first change of a session": onOpenVault(change),
  "a later change": onOpenVault(async (vault, stage) => {
    await stage.history.pass("change", async () => (await change(vault), vault));
    await vault.kms.createKey({ description: "later" });
  }),
  "an alias made": onOpenVault(async (vault) => {
    await vault.kms.createAlias({
      aliasName: "alias/second",
      targetKeyId: (await keyIds(vault))[0] as string,
    });
  }),
  "an alias pointed elsewhere": onOpenVault(async (vault) => {
    const { keyMetadata } = await vault.kms.describeKey({ keyId: "alias/first" });
    const other = (await keyIds(vault)).find((keyId) => keyId !== keyMetadata.keyId) as string;
    await vault.kms.updateAlias({ aliasName: "alias/first", targetKeyId: other });
  }),
  "an alias deleted": onOpenVault((vault) => vault.kms.deleteAlias({ aliasName: "alias/first" })),
  "five changes at once": onOpenVault((vault) =>
    Promise.all(Array.from({ length: 5 }, (_, n) => vault.kms.createKey({ alias: `alias/${n}` }))),
  ),
  "a change beside one that is refused": onOpenVault(async (vault) => {
    const refused = refuses(vault.kms.createKey({ alias: "alias/first" }), "COFFER_ALREADY_EXISTS");
    await Promise.all([vault.kms.createKey({ alias: "alias/other" }), refused]);
  }),
  "a change after the database failed": onOpenVault(async (vault, { disk }) => {
    failOnce(disk, "engine write", /./u);
    await refuses(change(vault), "COFFER_IO");
    await change(vault);
  }),
  "close after the header could not be renamed": async (stage) => {
    const vault = await stage.open();
    failOnce(stage.disk, "rename", /header\.0\.tmp$/u);
    await stage.history.pass("change", async () => (await change(vault), vault));
    stage.begin();
    await stage.history.pass("close", () => vault.close());
  },
  "a change after the kept database could not be dropped": onOpenVault(async (vault, { disk }) => {
    failOnce(disk, "folder sync", /vault$/u);
    await refuses(change(vault), "COFFER_IO");
    await change(vault);
  }),
  lock: async (stage) => {
    const vault = await stage.open();
    await stage.history.pass("change", async () => (await change(vault), vault));
    stage.begin();
    await stage.history.pass("lock", () => vault.lock());
  },
  unlock: async (stage) => {
    const vault = await stage.open();
    await stage.history.pass("lock", () => vault.lock());
    stage.begin();
    await stage.history.pass("unlock", async () => (await vault.unlock(secret()), vault));
  },
  "close after a change": async (stage) => {
    const vault = await stage.open();
    await stage.history.pass("change", async () => (await change(vault), vault));
    stage.begin();
    await stage.history.pass("close", () => vault.close());
  },
  "close without a change": async (stage) => {
    const vault = await stage.open();
    stage.begin();
    await stage.history.pass("close", () => vault.close());
  },
};

/** A closed vault with two keys. */
async function foundation(): Promise<{ disk: SimulatedDisk; code: string; contents: string }> {
  const disk = SimulatedDisk.empty();
  const { vault, code } = await create(disk);
  const history = new History(disk);
  await history.pass("begin", async () => {
    await vault.kms.createKey({ alias: "alias/first", description: "first" });
    return vault;
  });
  await vault.close();
  return { disk, code, contents: history.passages[0]?.contents as string };
}

async function badStatesOf(
  perform: (stage: Stage) => Promise<void>,
  inspector: Inspector,
  { disk, code, contents }: Awaited<ReturnType<typeof foundation>>,
  ignored: SyncFilter = () => false,
): Promise<string[]> {
  const stage = new Stage(disk, code, ignored);
  stage.history = new History(stage.disk, new Set([contents]));
  await perform(stage);
  return stage.bad(inspector);
}

/** Thousands of disks are opened. */
const SLOW_MACHINE_MS = 180_000;

test(
  "every operation, cut at every step, leaves what was acknowledged and nothing torn",
  async () => {
    const base = await foundation();
    let asked = 0;
    let opened = 0;
    const bad: string[] = [];
    for (const [name, perform] of Object.entries(OPERATIONS)) {
      // Vaults made by an operation are opened by their passphrase: their code was not told yet.
      const inspector = new Inspector(name.startsWith("createVault") ? undefined : base.code);
      const found = await badStatesOf(perform, inspector, base);
      bad.push(...found.map((line) => `${name}: ${line}`));
      asked += inspector.asked;
      opened += inspector.opened;
    }
    const operations = Object.keys(OPERATIONS).length;
    console.info(
      `crash states: ${asked} of ${operations} operations, ${opened} of them different: ${bad.length} bad`,
    );
    expect(bad).toEqual([]);
    expect(operations).toBeGreaterThanOrEqual(24);
    expect(asked).toBeGreaterThanOrEqual(2000);
  },
  SLOW_MACHINE_MS,
);

interface Flush {
  readonly name: string;
  readonly isIt: SyncFilter;
  /** An operation in which its loss shows; none for a flush that no promise hangs on. */
  readonly operation?: keyof typeof OPERATIONS;
}

/** Every fsync that there is, by what it flushes. */
const FLUSHES: readonly Flush[] = [
  {
    name: "content of the next header",
    isIt: (call, path) => call === "file sync" && /header\.\d\.tmp$/u.test(path),
    operation: "a later change",
  },
  {
    name: "content of a header that is there",
    isIt: (call, path) => call === "file sync" && /header\.\d$/u.test(path),
    operation: "a change after the header was put back by another program",
  },
  {
    name: "names in the vault's folder",
    isIt: (call, path) => call === "folder sync" && path === VAULT,
    operation: "a later change",
  },
  {
    name: "names in a new vault's folder",
    isIt: (call, path) => call === "folder sync" && /vault\.new-[0-9a-f]+$/u.test(path),
    operation: "createVault where nothing is",
  },
  {
    name: "name of a new vault",
    isIt: (call, path) => call === "folder sync" && path === HOME,
    operation: "createVault where nothing is",
  },
  {
    name: "content of the kept database",
    isIt: (call, path, isOurs) => isOurs && call === "file sync" && /db-1\/(?:CURRENT|\d+\.log)$/u.test(path),
    operation: "close after a kill before the batch was flushed",
  },
  // Without its mark or its names the kept database is not put back, and the one that the engine was opening is sound
  // here. A file system may lose some of the names, and an engine may be cut in the middle of its own opening.
  {
    name: "mark of the kept database",
    isIt: (call, path) => call === "file sync" && path.endsWith("db-1.keep-new/HEADER"),
  },
  {
    name: "names in the kept database",
    isIt: (call, path) => call === "folder sync" && path.endsWith(".keep-new"),
  },
  {
    name: "batches of the database",
    isIt: (_call, path, isOurs) => !isOurs && path.endsWith(".log"),
    operation: "a later change",
  },
  {
    name: "names in the database's folder, which the engine flushes",
    isIt: (call, _path, isOurs) => !isOurs && call === "folder sync",
    operation: "a change after the database failed",
  },
  {
    name: "the engine's pointer to its file",
    isIt: (_call, path, isOurs) => !isOurs && path.endsWith(".dbtmp"),
    operation: "a change after the database failed",
  },
  // A lock is void after a power cut, whatever is in it.
  { name: "content of the lock", isIt: (_call, path) => path.includes("vault.lock") },
  // The file store has its own cuts, in test/store/crash-states.test.ts.
  {
    name: "names of stored objects",
    isIt: (call, path) => call === "folder sync" && /\/objects(?:\/|$)/u.test(path),
  },
];

test.each(FLUSHES.filter(({ operation }) => operation !== undefined))(
  "without the flush of this, some cut leaves a bad state: $name",
  async ({ isIt, operation = "" }) => {
    const base = await foundation();
    const perform = OPERATIONS[operation] ?? (() => Promise.reject(new Error(`no operation ${operation}`)));
    const inspector = new Inspector(operation.startsWith("createVault") ? undefined : base.code);
    expect(await badStatesOf(perform, inspector, base)).toEqual([]);
    expect(await badStatesOf(perform, inspector, base, isIt)).not.toEqual([]);
  },
);

test("there is no other flush", async () => {
  const base = await foundation();
  const others = new Set<string>();
  const note: SyncFilter = (call, path, isOurs) => {
    if (!FLUSHES.some(({ isIt }) => isIt(call, path, isOurs))) others.add(`${call} ${path}`);
    return false;
  };
  for (const perform of Object.values(OPERATIONS)) {
    const stage = new Stage(base.disk, base.code, note);
    stage.history = new History(stage.disk, new Set([base.contents]));
    await perform(stage);
  }
  expect([...others]).toEqual([]);
});
