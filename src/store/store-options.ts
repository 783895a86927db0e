/**
 * Options of the file store, checked at the edge: a misspelt one must not be passed over.
 * @module
 */
import {
  boolean,
  function_,
  type GenericSchema,
  instance,
  optional,
  picklist,
  safeParse,
  strictObject,
  string,
  unknown,
} from "valibot";
import type { ProgressListener } from "../envelope/progress.ts";
import type { StoreMetadata } from "../formats/store-metadata.ts";

export interface StoreCallOptions {
  readonly signal?: AbortSignal | undefined;
}

/** The CMK of a new content, by id or alias. @defaultValue what `alias/default` points to */
export interface StoreKeyOption {
  readonly keyId?: string | undefined;
}

/** When what was written is known to last. */
export interface DurabilityOption {
  /**
   * `relaxed` leaves the flush of contents to `store.flush`, or to closing the vault: until then a power cut may
   * damage these files, and no others. The index is durable in any case. @defaultValue `durable`
   */
  readonly durability?: "durable" | "relaxed" | undefined;
}

export interface StoreWriteOptions extends StoreCallOptions, StoreKeyOption, DurabilityOption {
  /** Replaces a file of this name, which stays as it is when anything fails. @defaultValue false */
  readonly overwrite?: boolean | undefined;
  /** Names and values to keep with the file: up to 64 pairs and 4,096 bytes. */
  readonly metadata?: StoreMetadata | undefined;
  /** Told plaintext bytes, never backwards, at most every 50 ms. What it throws ends the work. */
  readonly onProgress?: ProgressListener | undefined;
}

export interface StoreMoveOptions extends StoreCallOptions {
  /** Replaces a file by a file. @defaultValue false */
  readonly overwrite?: boolean | undefined;
}

export interface StoreCopyOptions extends StoreCallOptions, DurabilityOption {
  /** The CMK of the copies, by id or alias. @defaultValue of each copy the one that its file is under */
  readonly keyId?: string | undefined;
  /** Replaces a file by a file. @defaultValue false */
  readonly overwrite?: boolean | undefined;
  readonly onProgress?: ProgressListener | undefined;
}

export interface StoreRemoveOptions extends StoreCallOptions {
  /** Needed for a directory that holds something. @defaultValue false */
  readonly recursive?: boolean | undefined;
  /** Waits until the removed bytes are gone from the vault's files. @defaultValue false: soon, or when it is closed */
  readonly purge?: boolean | undefined;
}

export interface StoreReadOptions extends StoreCallOptions {
  /** In bytes, from 0. */
  readonly start?: number | undefined;
  /** Up to and without this byte. */
  readonly end?: number | undefined;
  /**
   * Reads around damage: what does not verify comes as zeros, and is told. @defaultValue refuse it
   */
  readonly onDamage?: ((range: DamagedRange) => void) | undefined;
}

/** A part of a file that does not verify, in bytes: from `start`, up to and without `end`. */
export interface DamagedRange {
  readonly start: number;
  readonly end: number;
}

const signal = optional(instance(AbortSignal, "expected an AbortSignal"));
const flag = optional(boolean("expected a boolean"));
const keyId = optional(string("expected a string"));
const listener = optional(function_("expected a function"));
const durability = optional(picklist(["durable", "relaxed"], 'expected "durable" or "relaxed"'));
const offset = optional(unknown());

type StoreCall =
  | "call"
  | "write"
  | "move"
  | "copy"
  | "remove"
  | "read"
  | "importFrom"
  | "exportTo"
  | "verify"
  | "rewrapAll"
  | "reencrypt";

const SCHEMAS: Readonly<Record<StoreCall, GenericSchema>> = {
  call: strictObject({ signal }),
  write: strictObject({
    signal,
    keyId,
    durability,
    overwrite: flag,
    metadata: optional(unknown()),
    onProgress: listener,
  }),
  move: strictObject({ signal, overwrite: flag }),
  copy: strictObject({ signal, keyId, durability, overwrite: flag, onProgress: listener }),
  remove: strictObject({ signal, recursive: flag, purge: flag }),
  read: strictObject({ signal, start: offset, end: offset, onDamage: listener }),
  importFrom: strictObject({
    signal,
    keyId,
    durability,
    overwrite: flag,
    resume: flag,
    onProgress: listener,
    onSkip: listener,
  }),
  exportTo: strictObject({
    signal,
    overwrite: flag,
    resume: flag,
    portableNames: flag,
    onProgress: listener,
    onSkip: listener,
    onDamage: listener,
  }),
  verify: strictObject({ signal, contents: flag, onProgress: listener, onProblem: listener }),
  rewrapAll: strictObject({ signal, keyId, onProgress: listener }),
  reencrypt: strictObject({ signal, keyId, onProgress: listener }),
};

/** @throws TypeError naming the option. */
export function assertStoreOptions(call: StoreCall, options: object): void {
  const result = safeParse(SCHEMAS[call], options);
  if (result.success) return;
  const [issue] = result.issues;
  const path = issue.path?.map((item) => String(item.key)).join(".");
  if (path === undefined) throw new TypeError("options: expected an object");
  const isUnknown = issue.type === "strict_object" && issue.expected === "never";
  throw new TypeError(`options.${path}: ${isUnknown ? "no such option" : issue.message}`);
}
