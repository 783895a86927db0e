/**
 * Checks what a token helper says. It runs a vendor's module: nothing of it is used that is not checked, bounded and
 * copied.
 * @module
 */
import { copy } from "../../../bytes.ts";
import {
  type HelperFailure,
  type HelperMessage,
  type HelperStage,
  type ListedToken,
  TOKEN_PROBLEMS,
  type TokenFacts,
  type TokenProblem,
} from "./helper-protocol.ts";

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
    case "ended":
      return { kind: "ended" };
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
