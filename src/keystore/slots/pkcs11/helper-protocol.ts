/**
 * What a vault's process and its token helper say to each other. No message holds a root key; a PIN and a slot secret pass once.
 * @module
 */
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
  "pin-final-try",
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
  | HelperFailure
  /** After everything else: what was opened is closed, and the process may go. */
  | { readonly kind: "ended" };
