/**
 * A real vault under a program: performs its calls, and says what came of them in the words of the model.
 */
import { createHash } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { basename, join } from "node:path";
import { isCofferError } from "../../src/errors.ts";
import { recovery } from "../../src/keystore/slots/recovery.ts";
import { nodeFileSystem } from "../../src/storage/file-system.ts";
import { openLevelStore } from "../../src/storage/level-store.ts";
import { openMemoryStore } from "../../src/storage/memory-store.ts";
import type { Store } from "../../src/storage/store.ts";
import type { VaultNotice } from "../../src/vault-events.ts";
import type { VaultEnvironment } from "../../src/vault-opening.ts";
import { createVaultIn, openVaultIn, type Vault } from "../../src/vault.ts";
import { cheapPassphrase } from "../vault-files.ts";
import type { Blob, Call, Outcome } from "./kms-model.ts";
import { windowOf } from "./kms-model.ts";
import { CONTEXTS } from "./kms-programs.ts";

/** Under which engine a program runs: a store in memory, or LevelDB. The rest of the vault is the same. */
export type Engine = "memory" | "level";

const UNKNOWN_KEY_ID = "00000000-0000-4000-8000-000000000000";

/** A blob that a call has made, with its bytes. */
interface KeptBlob extends Blob {
  readonly bytes: Uint8Array;
}

export class Subject {
  readonly notices: VaultNotice[] = [];
  readonly blobs: KeptBlob[] = [];
  /** Numbers of the keys that were ever made. */
  readonly keys: number[] = [];
  clockMs: number;
  readonly #directory: string;
  readonly #environment: VaultEnvironment;
  readonly #ids = new Map<number, string>();
  #code = "";
  #vault: Vault | undefined;

  /** @param folder empty, for the vault. */
  constructor(folder: string, engine: Engine, startMs: number) {
    this.#directory = join(folder, "vault");
    this.clockMs = startMs;
    this.#environment = {
      fs: nodeFileSystem,
      openEngine: engine === "level" ? openLevelStore : keptInMemory(),
    };
  }

  /** Makes the vault. */
  async begin(): Promise<void> {
    const options = { ...this.#options(), unlock: cheapPassphrase() };
    const { vault, recoveryCode = "" } = await createVaultIn(this.#environment, this.#directory, options);
    this.#code = recoveryCode;
    this.#vault = this.#watched(vault);
    this.#know(0, (await vault.kms.describeKey()).keyMetadata.keyId);
  }

  async unlock(): Promise<void> {
    await this.#open.unlock(recovery(this.#code));
  }

  async reopen(): Promise<void> {
    await this.#open.close();
    const options = { ...this.#options(), unlock: recovery(this.#code) };
    this.#vault = this.#watched(await openVaultIn(this.#environment, this.#directory, options));
  }

  async end(): Promise<void> {
    await this.#vault?.close();
  }

  /** Resolves when no change is on its way that nobody waits for. */
  async quiet(): Promise<void> {
    if (this.#open.state !== "unlocked") return;
    await this.#open.kms.createKey({ dryRun: true });
  }

  /** Performs a call. @param newKey number of the key that it may make. */
  async perform(call: Call, newKey: number): Promise<Outcome> {
    try {
      const answer = await this.#call(call);
      if (typeof answer === "object" && answer !== null) this.#keep(call, newKey, answer);
      return { answer: this.#inWords(answer, call.operation === "generateDataKey") };
    } catch (error) {
      if (!isCofferError(error)) throw error;
      return { refused: error.code, reason: error.reason };
    }
  }

  get #open(): Vault {
    if (this.#vault === undefined) throw new Error("subject: not begun");
    return this.#vault;
  }

  #options(): { clock: () => number; onWarning: (notice: VaultNotice) => void } {
    return { clock: () => this.clockMs, onWarning: (notice) => void this.notices.push(notice) };
  }

  #watched(vault: Vault): Vault {
    vault.on("warning", (notice) => this.notices.push(notice));
    vault.on("damage", (notice) => this.notices.push(notice));
    return vault;
  }

  #know(number: number, keyId: string): void {
    this.#ids.set(number, keyId);
    this.keys.push(number);
  }

  #idOf(number: number): string {
    return this.#ids.get(number) ?? UNKNOWN_KEY_ID;
  }

  #call(call: Call): Promise<unknown> {
    const { kms } = this.#open;
    const { operation, alias, byAlias, isConstrained, days, flag, text, names, isDryRun } = call;
    const dryRun = isDryRun as false;
    const keyId = this.#idOf(call.key);
    const named = byAlias ? alias : keyId;
    const constraint = isConstrained ? named : undefined;
    const encryptionContext = CONTEXTS[call.context];
    const blob = this.blobs.find((kept) => kept === call.blob);
    const ciphertextBlob = blob?.bytes ?? new Uint8Array(0);
    const tags = names.map((tagKey) => ({ tagKey, tagValue: text }));
    const plaintext = new TextEncoder().encode(text);
    switch (operation) {
      case "lock":
        return this.#open.lock();
      case "createKey":
        return kms.createKey({ alias: byAlias ? alias : undefined, description: text, tags, dryRun });
      case "createAlias":
      case "updateAlias":
        return kms[operation]({ aliasName: alias, targetKeyId: keyId, dryRun });
      case "deleteAlias":
        return kms.deleteAlias({ aliasName: alias, dryRun });
      case "listKeys":
        return kms.listKeys({ dryRun });
      case "listAliases":
        return kms.listAliases({ keyId: flag ? keyId : undefined, dryRun });
      case "encrypt":
        return kms.encrypt({ keyId: named, plaintext: text, encryptionContext, dryRun });
      case "encryptDataKey":
        return kms.encryptDataKey({
          keyId: named,
          plaintext,
          digest: sha256(plaintext),
          encryptionContext,
          dryRun,
        });
      case "generateDataKey":
      case "generateDataKeyWithoutPlaintext":
        return kms[operation]({ keyId: named, keySpec: "AES_128", encryptionContext, dryRun });
      case "decrypt":
      case "decryptDataKey":
        return kms[operation]({ ciphertextBlob, keyId: constraint, encryptionContext, dryRun });
      case "reEncrypt":
        return kms.reEncrypt({
          ciphertextBlob,
          sourceKeyId: constraint,
          sourceEncryptionContext: encryptionContext,
          destinationKeyId: this.#idOf(call.otherKey),
          destinationEncryptionContext: encryptionContext,
          dryRun,
        });
      case "describeKey":
        return kms.describeKey({ keyId: named, dryRun });
      case "listKeyRotations":
        return kms.listKeyRotations({ keyId, includeKeyMaterial: "ALL_KEY_MATERIAL", dryRun });
      case "updateKeyDescription":
        return kms.updateKeyDescription({ keyId, description: text, dryRun });
      case "setDeletionProtection":
        return kms.setDeletionProtection({ keyId, enableDeletionProtection: flag, dryRun });
      case "tagResource":
        return kms.tagResource({ keyId, tags, dryRun });
      case "untagResource":
        return kms.untagResource({ keyId, tagKeys: names, dryRun });
      case "enableKeyRotation":
        return kms.enableKeyRotation({ keyId, rotationPeriodInDays: days, dryRun });
      case "scheduleKeyDeletion":
        return kms.scheduleKeyDeletion({ keyId, pendingWindowInDays: windowOf(call), dryRun });
      default:
        return kms[operation]({ keyId, dryRun });
    }
  }

  /** Remembers the key or the blob that a call has made. */
  #keep(call: Call, newKey: number, answer: object): void {
    if (call.operation === "createKey" && "keyMetadata" in answer) {
      this.#know(newKey, (answer.keyMetadata as { keyId: string }).keyId);
    }
    if (!("ciphertextBlob" in answer) || !("keyId" in answer) || !("keyVersion" in answer)) return;
    const text = plaintextOf(call, answer);
    // What nobody has seen in clear is not opened again.
    if (text === undefined) return;
    this.blobs.push({
      key: Number(this.#numbered(answer.keyId as string).slice(1)),
      version: answer.keyVersion as number,
      context: call.context,
      text,
      bytes: answer.ciphertextBlob as Uint8Array,
    });
  }

  #numbered(text: string): string {
    for (const [number, keyId] of this.#ids) if (keyId === text) return `#${number}`;
    return text;
  }

  /** An answer as the model has it: numbers for key ids and dates, words for bytes. */
  #inWords(answer: unknown, isFresh: boolean): unknown {
    if (typeof answer === "string") return this.#numbered(answer);
    if (answer instanceof Date) return answer.getTime();
    if (typeof answer !== "object" || answer === null) return answer;
    if (Array.isArray(answer)) return answer.map((each) => this.#inWords(each, isFresh));
    return Object.fromEntries(
      Object.entries(answer).map(([name, value]: [string, unknown]) => {
        if (name === "ciphertextBlob") return [name, "blob"];
        if (name === "plaintext") return [name, isFresh ? "fresh" : latin1(value as Uint8Array)];
        if (name === "digest") return [name, isDigestOf(value, answer) ? "right" : "wrong"];
        return [name, this.#inWords(value, isFresh)];
      }),
    );
  }
}

/** What a new blob holds, one character a byte; undefined when nobody knows. */
function plaintextOf({ operation, blob, text }: Call, answer: object): string | undefined {
  if (operation === "generateDataKeyWithoutPlaintext") return undefined;
  if (operation === "reEncrypt") return blob?.text;
  return latin1("plaintext" in answer ? (answer.plaintext as Uint8Array) : Buffer.from(text));
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("latin1");
}

function sha256(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(createHash("sha256").update(bytes).digest());
}

function isDigestOf(digest: unknown, answer: object): boolean {
  const { plaintext } = answer as { plaintext: Uint8Array };
  return latin1(sha256(plaintext)) === latin1(digest as Uint8Array);
}

/** Memory stores that outlive their closing, one for each directory. */
function keptInMemory(): VaultEnvironment["openEngine"] {
  const stores = new Map<string, Store>();
  return async (directory, { create }) => {
    if (create) {
      await mkdir(directory, { mode: 0o700 });
      stores.set(basename(directory), openMemoryStore());
    }
    const store = stores.get(basename(directory));
    if (store === undefined) throw new Error("subject: no such database");
    return {
      get: (key) => store.get(key),
      entries: (range) => store.entries(range),
      write: (batch) => store.write(batch),
      snapshot: () => store.snapshot(),
      compact: (start, end) => store.compact(start, end),
      close: () => Promise.resolve(),
    };
  };
}
