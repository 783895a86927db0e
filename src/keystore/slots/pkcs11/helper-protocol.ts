/**
 * What a vault's process and its token helper say to each other. The helper runs a vendor's module: what it says is
 * checked, bounded and copied before it is used. No message holds a root key; a PIN and a slot secret pass once.
 * @module
 */
import { copy } from "../../../bytes.ts";
import type { TokenAlgorithm } from "../../../formats/slot-header.ts";

/** What the caller says of the token and the key. Every field that is there must agree. */
export interface TokenCriteria {
  readonly label?: string;
  readonly serial?: string;
  readonly manufacturer?: string;
  readonly model?: string;
  readonly slotDescription?: string;
  readonly slotManufacturer?: string;
  readonly keyId?: Uint8Array;
  readonly keyLabel?: string;
}

/** What a token says of itself; blanks at the end are cut off. */
export interface TokenFacts {
  readonly label: string;
  readonly serial: string;
  readonly manufacturer: string;
  readonly model: string;
  /** The reader's name. */
  readonly slotName: string;
}

/** One slot of a vault, as the helper needs it. */
export interface TokenTarget {
  readonly algorithm: TokenAlgorithm;
  /** Stored form; empty for AES. */
  readonly spki: Uint8Array;
  readonly exchange: Uint8Array;
  /** Hints: the order of the search, and for AES the token. */
  readonly objectId: Uint8Array;
  readonly label: string;
  readonly serial: string;
}

export type HelperTask =
  | { readonly kind: "list" }
  /** Does the one operation of `targets[wanted]`, or says which of them are here. */
  | { readonly kind: "unlock"; readonly targets: readonly TokenTarget[]; readonly wanted: number }
  /** Finds the one key that fits, then waits for an exchange to try it. `secret` is what an AES key encrypts. */
  | { readonly kind: "enroll"; readonly secret: Uint8Array };

/** The helper's first message. */
export interface HelperRequest {
  readonly module: string;
  /** For modules that want parameters, as NSS does. */
  readonly moduleParameters?: string | undefined;
  readonly criteria: TokenCriteria;
  readonly task: HelperTask;
}

/** Answers to the helper's questions. */
export type HelperReply =
  | { readonly kind: "pin"; readonly pin: Uint8Array | undefined }
  | { readonly kind: "exchange"; readonly exchange: Uint8Array | undefined };

export type HelperStage = "binding" | "load" | "init" | "find" | "login" | "operate";

/** Why the helper gives up. */
export interface HelperFailure {
  readonly kind: "failed";
  readonly stage: HelperStage;
  /** The number that the module returned, if it was one. */
  readonly ckr?: number | undefined;
  /** The call, and words of ours. Never what the module says beside its number. */
  readonly call?: string | undefined;
  readonly problem?: TokenProblem | undefined;
  readonly token?: TokenFacts | undefined;
  /** The token went away within a second. */
  readonly isRemoved?: boolean | undefined;
  readonly isLocked?: boolean | undefined;
  readonly isLow?: boolean | undefined;
  readonly isFinalTry?: boolean | undefined;
  readonly minPinBytes?: number | undefined;
  readonly maxPinBytes?: number | undefined;
  /** How long the operation took. */
  readonly elapsedMs?: number | undefined;
  /** Labels of the tokens that were seen. */
  readonly seen?: readonly string[] | undefined;
  /** What the loader said of the module's file. */
  readonly loader?: string | undefined;
}

/** What was found wrong without a number of the module's. */
export const TOKEN_PROBLEMS = [
  "binding-absent",
  "binding-not-built",
  "no-token",
  "no-key",
  "ambiguous-token",
  "ambiguous-key",
  "unsuitable-key",
  "pin-locked",
  "pin-length",
  "pinpad",
  "another-token",
  "wrong-answer",
  "malformed",
] as const;
export type TokenProblem = (typeof TOKEN_PROBLEMS)[number];

export interface PinQuestion {
  readonly kind: "pin";
  readonly token: TokenFacts;
  readonly isLow: boolean;
  readonly isFinalTry: boolean;
  readonly minBytes: number;
  /** Undefined where the token tells none. */
  readonly maxBytes: number | undefined;
}

/** A key of a token as `listTokens` shows it. */
export interface ListedKey {
  readonly objectId: Uint8Array;
  readonly label: string;
  /** Stored form; undefined for a key of a kind that no slot takes. */
  readonly spki: Uint8Array | undefined;
  readonly hasCertificate: boolean;
}

export interface ListedToken {
  readonly token: TokenFacts;
  readonly needsPin: boolean;
  readonly isLow: boolean;
  readonly isFinalTry: boolean;
  readonly isLocked: boolean;
  readonly isInitialized: boolean;
  readonly canAgree: boolean;
  readonly canOaep: boolean;
  readonly canRawRsa: boolean;
  readonly canGcm: boolean;
  readonly keys: readonly ListedKey[];
}

/** What the helper says. */
export type HelperMessage =
  | PinQuestion
  | { readonly kind: "operating"; readonly token: TokenFacts }
  | {
      readonly kind: "found";
      readonly token: TokenFacts;
      readonly spki: Uint8Array;
      readonly objectId: Uint8Array;
    }
  | {
      readonly kind: "secret";
      readonly secret: Uint8Array;
      readonly token: TokenFacts;
      readonly mustChangePin: boolean;
    }
  | {
      readonly kind: "wrapped";
      readonly exchange: Uint8Array;
      readonly objectId: Uint8Array;
      readonly token: TokenFacts;
      readonly mustChangePin: boolean;
    }
  | { readonly kind: "absent"; readonly present: readonly number[]; readonly seen: readonly string[] }
  | { readonly kind: "tokens"; readonly tokens: readonly ListedToken[] }
  | HelperFailure;

const MAX_TEXT_LENGTH = 256;
const MAX_BYTES = 8192;
const MAX_ITEMS = 256;
const STAGES: ReadonlySet<unknown> = new Set(["binding", "load", "init", "find", "login", "operate"]);
const PROBLEMS: ReadonlySet<unknown> = new Set(TOKEN_PROBLEMS);

/** Returns a helper's message, checked and copied; `undefined` for anything that no helper of ours says. */
export function helperMessage(value: unknown): HelperMessage | undefined {
  try {
    return parsed(fields(value));
  } catch {
    return undefined;
  }
}

type Fields = Readonly<Record<string, unknown>>;

function parsed(from: Fields): HelperMessage {
  switch (from["kind"]) {
    case "pin":
      return {
        kind: "pin",
        token: token(from["token"]),
        isLow: flag(from["isLow"]),
        isFinalTry: flag(from["isFinalTry"]),
        minBytes: count(from["minBytes"]),
        maxBytes: optional(from["maxBytes"], count),
      };
    case "operating":
      return { kind: "operating", token: token(from["token"]) };
    case "found":
      return {
        kind: "found",
        token: token(from["token"]),
        spki: bytes(from["spki"]),
        objectId: bytes(from["objectId"]),
      };
    case "secret":
      return {
        kind: "secret",
        secret: bytes(from["secret"]),
        token: token(from["token"]),
        mustChangePin: flag(from["mustChangePin"]),
      };
    case "wrapped":
      return {
        kind: "wrapped",
        exchange: bytes(from["exchange"]),
        objectId: bytes(from["objectId"]),
        token: token(from["token"]),
        mustChangePin: flag(from["mustChangePin"]),
      };
    case "absent":
      return { kind: "absent", present: list(from["present"], count), seen: list(from["seen"], text) };
    case "tokens":
      return { kind: "tokens", tokens: list(from["tokens"], listed) };
    case "failed":
      return failure(from);
    default:
      throw new TypeError("kind: unknown");
  }
}

function failure(from: Fields): HelperFailure {
  const { stage, problem } = from;
  if (!STAGES.has(stage)) throw new TypeError("stage: unknown");
  if (problem !== undefined && !PROBLEMS.has(problem)) throw new TypeError("problem: unknown");
  return {
    kind: "failed",
    stage: stage as HelperStage,
    ckr: optional(from["ckr"], count),
    call: optional(from["call"], text),
    problem: problem as TokenProblem | undefined,
    token: optional(from["token"], token),
    isRemoved: optional(from["isRemoved"], flag),
    isLocked: optional(from["isLocked"], flag),
    isLow: optional(from["isLow"], flag),
    isFinalTry: optional(from["isFinalTry"], flag),
    minPinBytes: optional(from["minPinBytes"], count),
    maxPinBytes: optional(from["maxPinBytes"], count),
    elapsedMs: optional(from["elapsedMs"], count),
    seen: optional(from["seen"], (value) => list(value, text)),
    loader: optional(from["loader"], text),
  };
}

function listed(value: unknown): ListedToken {
  const from = fields(value);
  return {
    token: token(from["token"]),
    needsPin: flag(from["needsPin"]),
    isLow: flag(from["isLow"]),
    isFinalTry: flag(from["isFinalTry"]),
    isLocked: flag(from["isLocked"]),
    isInitialized: flag(from["isInitialized"]),
    canAgree: flag(from["canAgree"]),
    canOaep: flag(from["canOaep"]),
    canRawRsa: flag(from["canRawRsa"]),
    canGcm: flag(from["canGcm"]),
    keys: list(from["keys"], (key) => {
      const of = fields(key);
      return {
        objectId: bytes(of["objectId"]),
        label: text(of["label"]),
        spki: optional(of["spki"], bytes),
        hasCertificate: flag(of["hasCertificate"]),
      };
    }),
  };
}

function token(value: unknown): TokenFacts {
  const from = fields(value);
  return {
    label: text(from["label"]),
    serial: text(from["serial"]),
    manufacturer: text(from["manufacturer"]),
    model: text(from["model"]),
    slotName: text(from["slotName"]),
  };
}

function fields(value: unknown): Fields {
  if (typeof value !== "object" || value === null) throw new TypeError("expected an object");
  return value as Fields;
}

function text(value: unknown): string {
  if (typeof value !== "string" || value.length > MAX_TEXT_LENGTH) throw new TypeError("expected text");
  return value.toWellFormed();
}

function flag(value: unknown): boolean {
  if (typeof value !== "boolean") throw new TypeError("expected a boolean");
  return value;
}

function count(value: unknown): number {
  if (!Number.isSafeInteger(value) || (value as number) < 0) throw new TypeError("expected a count");
  return value as number;
}

/** On memory of its own; what was received is wiped, as it may be a secret. */
function bytes(value: unknown): Uint8Array {
  if (!(value instanceof Uint8Array) || value.length > MAX_BYTES) throw new TypeError("expected bytes");
  const own = copy(value);
  value.fill(0);
  return own;
}

function list<T>(value: unknown, item: (value: unknown) => T): T[] {
  if (!Array.isArray(value) || value.length > MAX_ITEMS) throw new TypeError("expected a list");
  return value.map(item);
}

function optional<T>(value: unknown, parse: (value: unknown) => T): T | undefined {
  return value === undefined ? undefined : parse(value);
}
