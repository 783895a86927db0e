/**
 * What the KMS is, as plain data: its keys, versions, aliases, tags, states, uses, and the time as a vault believes
 * it. Written from the documents; of the source it reads the key-state table alone.
 */
import { KEY_STATE_TABLE, type KeyOperation, type KeyState } from "../../src/keystore/key-state.ts";

const HOUR_MS = 3_600_000;
const DAY_MS = 86_400_000;
const MAX_LEAP_MS = 400 * DAY_MS;

export interface ModelKey {
  description: string;
  state: KeyState;
  createdMs: number;
  /** From version 1 on. */
  versions: { kind: "CREATED" | "AUTOMATIC" | "ON_DEMAND"; atMs: number }[];
  tags: Record<string, string>;
  isProtected: boolean;
  deletion: { atMs: number; days: number } | undefined;
  rotation: { everyDays: number; atMs: number } | undefined;
}

interface Use {
  readonly operation: string;
  readonly atMs: number;
}

interface Uses {
  noted: Record<number, Use>;
  writtenAtMs: number | undefined;
  stored: Record<number, Use>;
  /** A write has begun that no call waits for, and what it takes is not decided yet. */
  isBegun: boolean;
}

/** One state that a vault may be in. Keys go by the number of the call that made them; 0 is `alias/default`'s. */
export interface World {
  isLocked: boolean;
  keys: Record<number, ModelKey>;
  deletedAtMs: Record<number, number>;
  aliases: Record<string, { key: number; createdMs: number; updatedMs: number }>;
  /** Last uses: in memory, and as they are on the disk. */
  uses: Uses;
  /** Time of the last change; what was noted of a clock too far ahead, now and by an earlier session. */
  timeMs: number;
  leapMs: number | undefined;
  earlierLeapMs: number | undefined;
  /** Bytes of a deleted key still have to be removed, by the next session. */
  owesRemoval: boolean;
}

/** One call of the KMS, or a lock. Which members count is up to the operation. */
export interface Call {
  readonly operation: Operation;
  /** Number of a key; one that never was stands for an unknown id. */
  readonly key: number;
  readonly otherKey: number;
  readonly alias: string;
  /** Names the key by `alias`, where the operation takes one. */
  readonly byAlias: boolean;
  /** The blob that is decrypted: what made it, and under which context. */
  readonly blob: Blob | undefined;
  readonly isConstrained: boolean;
  readonly days: number;
  readonly flag: boolean;
  readonly text: string;
  readonly names: readonly string[];
  readonly context: number;
  readonly isDryRun: boolean;
}

export interface Blob {
  readonly key: number;
  readonly version: number;
  readonly context: number;
  /** Its plaintext, one character a byte. */
  readonly text: string;
}

export type Outcome =
  { readonly answer: unknown } | { readonly refused: string; readonly reason?: string | undefined };

export type Operation = Exclude<KeyOperation, "reEncryptFrom" | "reEncryptTo"> | OtherOperation;
type OtherOperation = "createKey" | "listKeys" | "reEncrypt" | "lock";

/** The waiting time of a deletion: the shortest, or one that serves as a rotation period too. */
export function windowOf({ flag, days }: Call): number {
  return flag ? 7 : days;
}

/** A vault that was made at `nowMs`. */
export function newWorld(nowMs: number): World {
  return {
    isLocked: false,
    keys: { 0: { ...newKey("default key of this vault", nowMs), isProtected: true } },
    deletedAtMs: {},
    aliases: { "alias/default": { key: 0, createdMs: nowMs, updatedMs: nowMs } },
    uses: { noted: {}, writtenAtMs: undefined, stored: {}, isBegun: false },
    timeMs: nowMs,
    leapMs: undefined,
    earlierLeapMs: undefined,
    owesRemoval: false,
  };
}

function newKey(description: string, nowMs: number): ModelKey {
  return {
    description,
    state: "Enabled",
    createdMs: nowMs,
    versions: [{ kind: "CREATED", atMs: nowMs }],
    tags: {},
    isProtected: false,
    deletion: undefined,
    rotation: undefined,
  };
}

/** The time as it is believed: docs/format.md#commit [F-116]. */
function believed(world: World, clockMs: number): { nowMs: number; isBelieved: boolean; leapMs?: number } {
  const { timeMs, leapMs, earlierLeapMs } = world;
  if (clockMs < timeMs) return { nowMs: timeMs, isBelieved: false };
  if (clockMs - timeMs <= MAX_LEAP_MS) return { nowMs: clockMs, isBelieved: true };
  const isSeenAgain = leapMs !== undefined && leapMs === earlierLeapMs && clockMs >= leapMs + DAY_MS;
  if (isSeenAgain) return { nowMs: clockMs, isBelieved: true };
  return { nowMs: timeMs, isBelieved: false, leapMs: Math.min(leapMs ?? clockMs, clockMs) };
}

function commit(world: World, clockMs: number): void {
  const { nowMs, leapMs } = believed(world, clockMs);
  world.timeMs = nowMs;
  world.leapMs = leapMs;
}

/** True when something happens by itself before the next access. */
export function isDue(world: World, clockMs: number): boolean {
  const { nowMs, isBelieved, leapMs } = believed(world, clockMs);
  if (leapMs !== world.leapMs) return true;
  return isBelieved && (world.owesRemoval || Object.values(world.keys).some((key) => isDueOf(key, nowMs)));
}

function isDueOf({ state, deletion, rotation }: ModelKey, nowMs: number): boolean {
  if (deletion !== undefined && deletion.atMs <= nowMs) return true;
  return state === "Enabled" && rotation !== undefined && rotation.atMs <= nowMs;
}

/** How far {@link settle} gets, when a lock comes in between. */
export const SETTLED = ["nothing", "clock", "changes", "all"] as const;

/** Makes happen what is due. */
export function settle(world: World, clockMs: number, until: (typeof SETTLED)[number] = "all"): void {
  if (until === "nothing" || !isDue(world, clockMs)) return;
  if (believed(world, clockMs).leapMs !== world.leapMs) commit(world, clockMs);
  if (until === "clock" || !isDue(world, clockMs)) return;
  const { nowMs } = believed(world, clockMs);
  for (const [name, key] of Object.entries(world.keys)) {
    if (!isDueOf(key, nowMs)) continue;
    const { rotation, deletion } = key;
    if (deletion !== undefined) {
      deleteKey(world, Number(name), nowMs);
      world.owesRemoval = true;
    } else if (rotation !== undefined) {
      key.versions.push({ kind: "AUTOMATIC", atMs: nowMs });
      const everyMs = rotation.everyDays * DAY_MS;
      while (rotation.atMs <= nowMs) rotation.atMs += everyMs;
    }
  }
  commit(world, clockMs);
  if (until === "all") world.owesRemoval = false;
}

function deleteKey(world: World, number: number, nowMs: number): void {
  delete world.keys[number];
  delete world.uses.stored[number];
  world.deletedAtMs[number] = nowMs;
  for (const [name, { key }] of Object.entries(world.aliases)) if (key === number) delete world.aliases[name];
}

/** Locks; uses that were not written are lost. */
function lock(world: World): void {
  world.isLocked = true;
  world.uses = { noted: {}, writtenAtMs: undefined, stored: world.uses.stored, isBegun: false };
}

/** Closes: uses are written first. */
export function close(world: World, clockMs: number): void {
  if (world.isLocked) return;
  flushUses(world, clockMs);
  lock(world);
}

/** Unlocks, in the same process or another one. */
export function unlock(world: World, clockMs: number): void {
  if (!world.isLocked) return;
  world.isLocked = false;
  world.earlierLeapMs = world.leapMs;
  settle(world, clockMs);
}

/** Written at most hourly for each key; one that is not stays in memory. */
export function flushUses(world: World, clockMs: number): void {
  const { noted, stored } = world.uses;
  world.uses.isBegun = false;
  if (Object.keys(noted).length === 0) return;
  world.uses.writtenAtMs = believed(world, clockMs).nowMs;
  let hasWritten = false;
  for (const number of Object.keys(noted).map(Number)) {
    const use = noted[number] as Use;
    const before = stored[number];
    const isKept =
      world.keys[number] !== undefined && before !== undefined && use.atMs - before.atMs < HOUR_MS;
    if (isKept) continue;
    delete noted[number];
    if (world.keys[number] === undefined) continue;
    stored[number] = use;
    hasWritten = true;
  }
  if (hasWritten || believed(world, clockMs).leapMs !== world.leapMs) commit(world, clockMs);
}

class Refusal extends Error {
  readonly outcome: Outcome;
  constructor(refused: string, reason?: string) {
    super(refused);
    this.outcome = { refused, reason };
  }
}

/** What one call may need beside the world. */
export interface Circumstances {
  readonly clockMs: number;
  /** The number that a key gets which this call makes. */
  readonly newKey: number;
}

/** Performs one call at once, on what is due having happened. Changes the world only when it succeeds. */
export function perform(world: World, call: Call, circumstances: Circumstances): Outcome {
  try {
    if (world.isLocked && call.operation !== "lock") throw new Refusal("COFFER_LOCKED", "requested");
    return { answer: new Performance(world, call, circumstances).answer() };
  } catch (error) {
    if (error instanceof Refusal) return error.outcome;
    throw error;
  }
}

const CODES = { disabled: "COFFER_KEY_DISABLED", invalid: "COFFER_INVALID_KEY_STATE" } as const;
const SYMMETRIC = { encryptionAlgorithm: "SYMMETRIC_DEFAULT" };
const DRY = { dryRun: true };
const END = { truncated: false };

class Performance {
  readonly #world: World;
  readonly #call: Call;
  readonly #circumstances: Circumstances;
  readonly #nowMs: number;
  /** What waiting times are counted from. */
  readonly #latestMs: number;

  constructor(world: World, call: Call, circumstances: Circumstances) {
    this.#world = world;
    this.#call = call;
    this.#circumstances = circumstances;
    this.#nowMs = believed(world, circumstances.clockMs).nowMs;
    this.#latestMs = Math.max(this.#nowMs, circumstances.clockMs);
  }

  answer(): unknown {
    const { operation } = this.#call;
    switch (operation) {
      case "lock":
        lock(this.#world);
        return undefined;
      case "createKey":
        return this.#createKey();
      case "createAlias":
      case "updateAlias":
      case "deleteAlias":
        return this.#changeAlias(operation);
      case "listKeys":
        return this.#read({
          keys: Object.keys(this.#world.keys).map((number) => ({ keyId: `#${number}` })),
          ...END,
        });
      case "listAliases":
        return this.#listAliases();
      case "encrypt":
      case "encryptDataKey":
      case "generateDataKey":
      case "generateDataKeyWithoutPlaintext":
        return this.#encrypt(operation);
      case "decrypt":
      case "decryptDataKey":
        return this.#decrypt(operation);
      case "reEncrypt":
        return this.#reEncrypt();
      case "describeKey":
      case "listResourceTags":
      case "getKeyLastUsage":
      case "listKeyRotations":
      case "getKeyRotationStatus":
        return this.#read(this.#describe(operation));
      default:
        return this.#changeKey(operation);
    }
  }

  /** The number of the key that a call names. */
  #named(): number {
    const { byAlias, alias, key } = this.#call;
    if (!byAlias) return key;
    const record = this.#world.aliases[alias];
    if (record === undefined) throw new Refusal("COFFER_NOT_FOUND");
    return record.key;
  }

  #keyOf(number: number, operation: KeyOperation): ModelKey {
    const key = this.#existing(number);
    const verdict = KEY_STATE_TABLE[operation][key.state];
    if (verdict !== "ok") throw new Refusal(CODES[verdict]);
    return key;
  }

  #existing(number: number): ModelKey {
    const key = this.#world.keys[number];
    if (key === undefined) throw new Refusal("COFFER_NOT_FOUND");
    return key;
  }

  #read(answer: unknown): unknown {
    return this.#call.isDryRun ? DRY : answer;
  }

  /** A change takes effect, and its time is the vault's from then on. */
  #change(apply: () => unknown): unknown {
    if (this.#call.isDryRun) return DRY;
    const answer = apply();
    commit(this.#world, this.#circumstances.clockMs);
    return answer;
  }

  /** A use is noted, and written with others when an hour has passed since that was done. */
  #use(operation: string, numbers: readonly number[], answer: unknown): unknown {
    if (this.#call.isDryRun) return DRY;
    const { uses } = this.#world;
    for (const number of numbers) uses.noted[number] = { operation, atMs: this.#nowMs };
    uses.writtenAtMs ??= this.#nowMs;
    if (this.#nowMs - uses.writtenAtMs >= HOUR_MS) uses.isBegun = true;
    return answer;
  }

  #createKey(): unknown {
    const { alias, byAlias, text, names } = this.#call;
    if (byAlias && this.#world.aliases[alias] !== undefined) throw new Refusal("COFFER_ALREADY_EXISTS");
    return this.#change(() => {
      const key = newKey(text, this.#nowMs);
      for (const name of names) key.tags[name] = text;
      const number = this.#circumstances.newKey;
      this.#world.keys[number] = key;
      if (byAlias) this.#putAlias(alias, number, this.#nowMs);
      return { keyMetadata: metadataOf(number, key) };
    });
  }

  #putAlias(alias: string, key: number, createdMs: number): void {
    this.#world.aliases[alias] = { key, createdMs, updatedMs: this.#nowMs };
  }

  #changeAlias(operation: "createAlias" | "updateAlias" | "deleteAlias"): unknown {
    const { alias, key: target } = this.#call;
    const present = this.#world.aliases[alias];
    if (operation === "createAlias") {
      this.#existing(target);
      if (present !== undefined) throw new Refusal("COFFER_ALREADY_EXISTS");
    } else if (present === undefined) throw new Refusal("COFFER_NOT_FOUND");
    if (operation !== "deleteAlias") this.#keyOf(target, operation);
    return this.#change(() => {
      if (operation === "deleteAlias") delete this.#world.aliases[alias];
      else this.#putAlias(alias, target, present?.createdMs ?? this.#nowMs);
    });
  }

  #listAliases(): unknown {
    const { flag, key: owner } = this.#call;
    if (flag) this.#existing(owner);
    const aliases = Object.entries(this.#world.aliases)
      .filter(([, { key }]) => !flag || key === owner)
      .map(([aliasName, { key, createdMs, updatedMs }]) => ({
        aliasName,
        targetKeyId: `#${key}`,
        creationDate: createdMs,
        lastUpdatedDate: updatedMs,
      }));
    return this.#read({ aliases, ...END });
  }

  #encrypt(operation: KeyOperation): unknown {
    const number = this.#named();
    const key = this.#keyOf(number, operation);
    const answer = {
      ciphertextBlob: "blob",
      keyId: `#${number}`,
      keyVersion: key.versions.length,
      ...(operation === "encrypt" && SYMMETRIC),
      ...(operation === "generateDataKey" && { plaintext: "fresh" }),
      ...(operation === "encryptDataKey" && { dataKeyBytes: Buffer.byteLength(this.#call.text) }),
    };
    return this.#use(operation, [number], answer);
  }

  /** The blob, if its key may decrypt it. */
  #opened(operation: KeyOperation): Blob {
    const { blob, isConstrained } = this.#call;
    if (blob === undefined) throw new Error("decrypt: the call has no blob");
    if (isConstrained && this.#named() !== blob.key) throw new Refusal("COFFER_INCORRECT_KEY");
    this.#keyOf(blob.key, operation);
    return blob;
  }

  #assertContext({ context }: Blob): void {
    if (context !== this.#call.context) throw new Refusal("COFFER_INVALID_CIPHERTEXT");
  }

  #decrypt(operation: "decrypt" | "decryptDataKey"): unknown {
    const blob = this.#opened(operation);
    this.#assertContext(blob);
    const { key, version, text: plaintext } = blob;
    const answer = { plaintext, keyId: `#${key}`, keyVersion: version };
    const rest = operation === "decrypt" ? SYMMETRIC : { dataKeyBytes: plaintext.length, digest: "right" };
    return this.#use(operation, [key], { ...answer, ...rest });
  }

  #reEncrypt(): unknown {
    const blob = this.#opened("reEncryptFrom");
    const { otherKey } = this.#call;
    const destination = this.#keyOf(otherKey, "reEncryptTo");
    this.#assertContext(blob);
    return this.#use("reEncrypt", [blob.key, otherKey], {
      ciphertextBlob: "blob",
      sourceKeyId: `#${blob.key}`,
      sourceKeyVersion: blob.version,
      keyId: `#${otherKey}`,
      keyVersion: destination.versions.length,
      sourceEncryptionAlgorithm: "SYMMETRIC_DEFAULT",
      destinationEncryptionAlgorithm: "SYMMETRIC_DEFAULT",
    });
  }

  #describe(operation: KeyOperation): unknown {
    const number = operation === "describeKey" ? this.#named() : this.#call.key;
    const key = this.#keyOf(number, operation);
    if (operation === "describeKey") return { keyMetadata: metadataOf(number, key) };
    if (operation === "listResourceTags") {
      return { tags: Object.entries(key.tags).map(([tagKey, tagValue]) => ({ tagKey, tagValue })), ...END };
    }
    if (operation === "getKeyLastUsage") {
      const use = this.#world.uses.noted[number] ?? this.#world.uses.stored[number];
      const keyLastUsage = use && { operation: use.operation, timestamp: use.atMs };
      return { keyId: `#${number}`, keyCreationDate: key.createdMs, ...(use && { keyLastUsage }) };
    }
    if (operation === "listKeyRotations") return { rotations: rotationsOf(number, key), ...END };
    const { rotation, state } = key;
    if (rotation === undefined || state === "PendingDeletion") {
      return { keyId: `#${number}`, keyRotationEnabled: false };
    }
    const { everyDays: rotationPeriodInDays, atMs: nextRotationDate } = rotation;
    return { keyId: `#${number}`, keyRotationEnabled: true, rotationPeriodInDays, nextRotationDate };
  }

  #changeKey(operation: KeyOperation): unknown {
    const { key: number, days, flag, text, names } = this.#call;
    const key = this.#keyOf(number, operation);
    const keyId = `#${number}`;
    switch (operation) {
      case "updateKeyDescription":
        return this.#change(() => void (key.description = text));
      case "enableKey":
      case "disableKey": {
        const state = operation === "enableKey" ? "Enabled" : "Disabled";
        if (key.state === state) return this.#read(undefined);
        return this.#change(() => void (key.state = state));
      }
      case "setDeletionProtection":
        return this.#change(() => void (key.isProtected = flag));
      case "tagResource":
        if (names.length === 0) return this.#read(undefined);
        return this.#change(() => {
          for (const name of names) key.tags[name] = text;
        });
      case "untagResource":
        if (!names.some((name) => key.tags[name] !== undefined)) return this.#read(undefined);
        return this.#change(() => {
          for (const name of names) delete key.tags[name];
        });
      case "enableKeyRotation":
        return this.#change(() => {
          key.rotation = { everyDays: days, atMs: this.#latestMs + days * DAY_MS };
        });
      case "disableKeyRotation":
        return this.#change(() => void (key.rotation = undefined));
      case "rotateKeyOnDemand":
        return this.#change(() => {
          key.versions.push({ kind: "ON_DEMAND", atMs: this.#nowMs });
          return { keyId, keyVersion: key.versions.length };
        });
      case "scheduleKeyDeletion":
        if (key.isProtected) throw new Refusal("COFFER_INVALID_KEY_STATE", "deletion-protection");
        return this.#change(() => {
          const pendingWindowInDays = windowOf(this.#call);
          const atMs = this.#latestMs + pendingWindowInDays * DAY_MS;
          key.state = "PendingDeletion";
          key.deletion = { atMs, days: pendingWindowInDays };
          return { keyId, deletionDate: atMs, keyState: "PendingDeletion", pendingWindowInDays };
        });
      case "cancelKeyDeletion":
        return this.#change(() => {
          key.state = "Disabled";
          key.deletion = undefined;
          return { keyId };
        });
      default:
        throw new Error(`the model has no ${operation}`);
    }
  }
}

function metadataOf(number: number, key: ModelKey): unknown {
  return {
    keyId: `#${number}`,
    creationDate: key.createdMs,
    enabled: key.state === "Enabled",
    keyState: key.state,
    description: key.description,
    keyUsage: "ENCRYPT_DECRYPT",
    keySpec: "SYMMETRIC_DEFAULT",
    origin: "COFFER_KMS",
    encryptionAlgorithms: ["SYMMETRIC_DEFAULT"],
    keyVersion: key.versions.length,
    deletionProtection: key.isProtected,
    ...(key.deletion && {
      deletionDate: key.deletion.atMs,
      pendingDeletionWindowInDays: key.deletion.days,
    }),
  };
}

function rotationsOf(number: number, { versions }: ModelKey): unknown[] {
  return versions.map(({ kind, atMs }, index) => ({
    keyId: `#${number}`,
    keyVersion: index + 1,
    keyMaterialState: index + 1 === versions.length ? "CURRENT" : "NON_CURRENT",
    rotationDate: atMs,
    ...(kind !== "CREATED" && { rotationType: kind }),
  }));
}
