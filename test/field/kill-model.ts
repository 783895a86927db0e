/**
 * What a vault must hold after a kill: everything acknowledged, and of the one call that each actor had on its way
 * all or nothing.
 * @module
 */
import type { Vault } from "../../src/vault.ts";
import { isCofferError } from "../../src/errors.ts";
import type { VaultNotice } from "../../src/vault-events.ts";

const DAY_MS = 86_400_000;

interface KeyModel {
  description: string;
  state: string;
  version: number;
  isProtected: boolean;
  rotationDays: number | undefined;
  deleteAtMs: number | undefined;
  tags: Record<string, string>;
}

/** One actor's part of the vault. */
export interface ActorModel {
  readonly keys: Record<string, KeyModel>;
  readonly aliases: Record<string, string>;
}

export type VaultModel = Record<string, ActorModel>;

/** A line of a child's log; see kill-child.mjs. */
export interface LogLine {
  readonly actor?: string;
  readonly number?: number;
  readonly operation?: string;
  readonly request?: OperationRequest;
  readonly answer?: { readonly keyId?: string; readonly blob?: string };
  readonly refused?: string;
  readonly opened?: boolean;
  readonly notice?: VaultNotice;
}

interface OperationRequest {
  readonly keyId?: string;
  readonly aliasName?: string;
  readonly targetKeyId?: string;
  readonly alias?: string;
  readonly description?: string;
  readonly plaintext?: string;
  readonly tags?: readonly { readonly tagKey: string; readonly tagValue: string }[];
  readonly tagKeys?: readonly string[];
  readonly enableDeletionProtection?: boolean;
}

/** A blob that was handed out. */
export interface Blob {
  readonly keyId: string;
  readonly blob: string;
  readonly plaintext: string;
}

/** What a log says: the state that every acknowledged call makes, and what was still on its way. */
export interface Reading {
  readonly model: VaultModel;
  readonly pending: readonly LogLine[];
  readonly blobs: readonly Blob[];
  readonly acknowledged: number;
  readonly refused: readonly string[];
  readonly notices: readonly VaultNotice[];
  readonly hasOpened: boolean;
}

const UNKNOWN_KEY = "unknown";

/** Reads a log on top of the state before it. */
export function readLog(text: string, before: VaultModel, nowMs: number): Reading {
  const model = structuredClone(before);
  const pending = new Map<number, LogLine>();
  const blobs: Blob[] = [];
  const refused: string[] = [];
  const notices: VaultNotice[] = [];
  let acknowledged = 0;
  let hasOpened = false;
  for (const line of text.split("\n").filter((part) => part !== "")) {
    const entry = JSON.parse(line) as LogLine;
    if (entry.opened === true) hasOpened = true;
    if (entry.notice !== undefined) notices.push(entry.notice);
    if (entry.number === undefined) continue;
    if (entry.operation !== undefined) {
      pending.set(entry.number, entry);
      continue;
    }
    const intent = pending.get(entry.number) as LogLine;
    pending.delete(entry.number);
    if (entry.refused !== undefined) {
      refused.push(`${intent.operation}: ${entry.refused}`);
      continue;
    }
    acknowledged++;
    const { keyId = UNKNOWN_KEY, blob } = entry.answer ?? {};
    apply(model, intent, keyId, nowMs);
    if (blob !== undefined) {
      const { keyId: by = "", plaintext = "" } = intent.request ?? {};
      blobs.push({ keyId: by, blob, plaintext });
    }
  }
  return { model, pending: [...pending.values()], blobs, acknowledged, refused, notices, hasOpened };
}

/** Makes a call happen in the model. */
function apply(
  model: VaultModel,
  { actor = "", operation, request = {} }: LogLine,
  newKeyId: string,
  nowMs: number,
): void {
  const { keys, aliases } = (model[actor] ??= { keys: {}, aliases: {} });
  const { keyId = "", aliasName = "", targetKeyId = "", tags = [], tagKeys = [] } = request;
  const tagsOf = Object.fromEntries(tags.map(({ tagKey, tagValue }) => [tagKey, tagValue]));
  if (operation === "createKey") {
    keys[newKeyId] = {
      description: request.description ?? "",
      state: "Enabled",
      version: 1,
      isProtected: false,
      rotationDays: undefined,
      deleteAtMs: undefined,
      tags: tagsOf,
    };
    if (request.alias !== undefined) aliases[request.alias] = newKeyId;
    return;
  }
  if (operation === "createAlias" || operation === "updateAlias") aliases[aliasName] = targetKeyId;
  if (operation === "deleteAlias") delete aliases[aliasName];
  const key = keys[keyId];
  if (key === undefined) return;
  switch (operation) {
    case "updateKeyDescription":
      key.description = request.description ?? "";
      break;
    case "tagResource":
      Object.assign(key.tags, tagsOf);
      break;
    case "untagResource":
      for (const tag of tagKeys) delete key.tags[tag];
      break;
    case "disableKey":
      key.state = "Disabled";
      break;
    case "enableKey":
      key.state = "Enabled";
      break;
    case "scheduleKeyDeletion":
      key.state = "PendingDeletion";
      key.deleteAtMs = nowMs + 7 * DAY_MS;
      break;
    case "cancelKeyDeletion":
      key.state = "Disabled";
      key.deleteAtMs = undefined;
      break;
    case "enableKeyRotation":
      key.rotationDays = 365;
      break;
    case "disableKeyRotation":
      key.rotationDays = undefined;
      break;
    case "rotateKeyOnDemand":
      key.version++;
      break;
    case "setDeletionProtection":
      key.isProtected = request.enableDeletionProtection === true;
      break;
    default:
  }
}

/** Takes away what is due: keys for good, with their aliases. Returns the ids. */
export function takeDue(model: VaultModel, nowMs: number): string[] {
  const gone: string[] = [];
  for (const { keys, aliases } of Object.values(model)) {
    for (const [keyId, { deleteAtMs }] of Object.entries(keys)) {
      if (deleteAtMs === undefined || deleteAtMs > nowMs) continue;
      delete keys[keyId];
      gone.push(keyId);
      for (const [name, target] of Object.entries(aliases)) if (target === keyId) delete aliases[name];
    }
  }
  return gone;
}

/** Reads all that the actors have made, through the public interface. */
export async function observe({ kms }: Vault): Promise<VaultModel> {
  const model: VaultModel = {};
  const actorByKey = new Map<string, string>();
  for (const { keyId } of (await kms.listKeys({ limit: 1000 })).keys) {
    const { keyMetadata } = await kms.describeKey({ keyId });
    const actor = /^(a\d)\//u.exec(keyMetadata.description)?.[1];
    if (actor === undefined) continue;
    actorByKey.set(keyId, actor);
    const { tags } = await kms.listResourceTags({ keyId });
    const rotation = await kms.getKeyRotationStatus({ keyId });
    (model[actor] ??= { keys: {}, aliases: {} }).keys[keyId] = {
      description: keyMetadata.description,
      state: keyMetadata.keyState,
      version: keyMetadata.keyVersion,
      isProtected: keyMetadata.deletionProtection,
      rotationDays: rotation.rotationPeriodInDays,
      deleteAtMs: keyMetadata.deletionDate?.getTime(),
      tags: Object.fromEntries(tags.map(({ tagKey, tagValue }) => [tagKey, tagValue])),
    };
  }
  for (const { aliasName, targetKeyId } of (await kms.listAliases({ limit: 100 })).aliases) {
    const actor = actorByKey.get(targetKeyId);
    if (actor !== undefined) (model[actor] as ActorModel).aliases[aliasName] = targetKeyId;
  }
  return model;
}

/** Returns what was found, with what a key does not tell while it waits for its deletion. */
export function withHidden(found: VaultModel, known: VaultModel): VaultModel {
  for (const [actor, { keys }] of Object.entries(found)) {
    for (const [keyId, key] of Object.entries(keys)) {
      if (key.state === "PendingDeletion") key.rotationDays = known[actor]?.keys[keyId]?.rotationDays;
    }
  }
  return found;
}

/** Says what is wrong with a vault after a kill; undefined when nothing is. */
export function judgeState(
  { model, pending }: Reading,
  found: VaultModel,
  nowMs: number,
): string | undefined {
  for (const actor of new Set([...Object.keys(model), ...Object.keys(found)])) {
    const acknowledged = part(model, actor);
    const actual = canonical(part(found, actor));
    const call = pending.find((line) => line.actor === actor);
    const allowed = [acknowledged];
    if (call !== undefined) allowed.push(...outcomes(model, call, part(found, actor), nowMs));
    if (allowed.some((state) => canonical(state) === actual)) continue;
    const expected = allowed.map(canonical).join("\n or ");
    return `${actor}: after ${JSON.stringify(call ?? "no call")}\n expected ${expected}\n found ${actual}`;
  }
  return undefined;
}

/** What an actor's part is once the call on its way has happened. */
function outcomes(model: VaultModel, call: LogLine, found: ActorModel, nowMs: number): ActorModel[] {
  const { actor = "" } = call;
  const known = part(model, actor).keys;
  const newIds = Object.keys(found.keys).filter((keyId) => !(keyId in known));
  return [UNKNOWN_KEY, ...newIds].map((keyId) => {
    const after = structuredClone(model);
    apply(after, call, keyId, nowMs);
    return part(after, actor);
  });
}

function part(model: VaultModel, actor: string): ActorModel {
  return model[actor] ?? { keys: {}, aliases: {} };
}

function canonical({ keys, aliases }: ActorModel): string {
  const sorted = (record: Record<string, unknown>): [string, unknown][] =>
    Object.entries(record).toSorted(([a], [b]) => (a < b ? -1 : 1));
  const keyList = sorted(keys).map(([keyId, value]) => {
    const key = value as KeyModel;
    // While a key waits for its deletion its rotation is not told.
    const rotationDays = key.state === "PendingDeletion" ? undefined : key.rotationDays;
    const { description, state, version, isProtected, deleteAtMs } = key;
    return [keyId, description, state, version, isProtected, rotationDays, deleteAtMs, sorted(key.tags)];
  });
  return JSON.stringify([keyList, sorted(aliases)]);
}

/** Says which blob does not decrypt as it should; undefined when all do. */
export async function judgeBlobs(
  vault: Vault,
  blobs: readonly Blob[],
  found: VaultModel,
  gone: ReadonlySet<string>,
): Promise<string | undefined> {
  const states = new Map(Object.values(found).flatMap(({ keys }) => Object.entries(keys)));
  for (const { keyId, blob, plaintext } of blobs) {
    const state = states.get(keyId)?.state;
    if (state !== "Enabled" && !gone.has(keyId)) continue;
    try {
      const answer = await vault.kms.decrypt({ ciphertextBlob: blob });
      if (gone.has(keyId)) return `a blob of the deleted key ${keyId} decrypts`;
      if (Buffer.from(answer.plaintext).toString() !== plaintext)
        return `a blob of ${keyId} decrypts wrongly`;
    } catch (error) {
      if (!gone.has(keyId) || !isCofferError(error, "COFFER_NOT_FOUND")) return `${keyId}: ${String(error)}`;
    }
  }
  return undefined;
}
