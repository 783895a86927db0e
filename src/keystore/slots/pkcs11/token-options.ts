/**
 * Options of `pkcs11(…)` and `listTokens`, checked at the edge.
 * @module
 */
import { copy, fromHex, isWellFormed, utf8 } from "../../../bytes.ts";
import { InvalidArgumentError } from "../../../errors.ts";
import type { HelperSettings, SpawnHelper } from "./helper-process.ts";
import type { TokenCriteria, TokenFacts } from "./helper-protocol.ts";
import { assertModulePath } from "./module-path.ts";
import { parseTokenUri } from "./token-uri.ts";

/** Four tries of 15 s for a touch, as one of the modules makes them, and a little. */
const DEFAULT_TIMEOUT_MS = 65_000;
const MAX_TIMEOUT_MS = 600_000;
const MAX_ID_BYTES = 255;

/** What a token says of itself, unauthenticated: whoever makes a token chooses it. */
export type TokenInfo = TokenFacts;

/** What `pin` is asked with. */
export interface PinRequest {
  /** The token that showed the key: the PIN goes to no other. */
  readonly token: TokenInfo;
  /** 1, and one more for each further slot of one unlock that the same token holds the key of. */
  readonly attempt: number;
  /** A wrong PIN was given since the last right one. Not every token tells. */
  readonly low: boolean;
  /** One more wrong PIN locks the token. Not every token tells. */
  readonly finalTry: boolean;
  /** In bytes of UTF-8. */
  readonly minLength: number;
  readonly maxLength: number | undefined;
  readonly reason: "unlock" | "enroll" | "again";
}

/**
 * Asks a person for the PIN. A string cannot be wiped, bytes are. `null` cancels with `COFFER_ABORTED`, and no try is
 * used. `signal` aborts when the answer is not needed any more.
 */
export type PinCallback = (
  request: PinRequest,
  signal: AbortSignal,
) => string | Uint8Array | null | Promise<string | Uint8Array | null>;

/** Which module, and which token. */
export interface TokenModuleOptions {
  /** Absolute path of the PKCS#11 module. It is run with this user's rights: never take it from a file or a URI. */
  readonly module: string;
  /** For modules that want parameters when they start, as NSS does. */
  readonly moduleParameters?: string | undefined;
  /** Exactly what the token is called. */
  readonly tokenLabel?: string | undefined;
  readonly serial?: string | undefined;
  /** An RFC 7512 URI, in place of tokenLabel, serial and keyId. One that carries a PIN or a module is refused. */
  readonly uri?: string | undefined;
  /** Further variables of the helper's environment, which else has a short list alone. */
  readonly env?: Readonly<Record<string, string>> | undefined;
  /** How long the token may say nothing, the time for the PIN aside: 1 to 600,000 ms. @defaultValue 65,000 */
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Starts the helper's process where Node's own way is closed, as in Electron. @defaultValue child_process.fork */
  readonly spawnHelper?: SpawnHelper | undefined;
}

/** Options of `pkcs11`. */
export interface Pkcs11Options extends TokenModuleOptions {
  /** CKA_ID of the key, in hexadecimal or bytes. Needed where several keys fit, and for AES. */
  readonly keyId?: string | Uint8Array | undefined;
  /**
   * Asks for the PIN, once the right token is found; or the PIN itself, which is copied and wiped with the unlocker.
   * A PIN given beforehand is not sent where the token says that one try is left.
   */
  readonly pin?: PinCallback | string | Uint8Array | undefined;
  /** False enrols without trying the key: then no PIN is asked, and mistakes show at the first unlock. @defaultValue true */
  readonly trial?: boolean | undefined;
  /** The token begins to work. */
  readonly onOperating?: ((token: TokenInfo) => void) | undefined;
  /** It still works after 700 ms: it may want to be touched. */
  readonly onWaiting?: ((token: TokenInfo) => void) | undefined;
}

const MODULE_OPTIONS = [
  "module",
  "moduleParameters",
  "tokenLabel",
  "serial",
  "uri",
  "env",
  "timeoutMs",
  "signal",
  "spawnHelper",
] as const satisfies readonly (keyof TokenModuleOptions)[];
const KEY_OPTIONS = [
  ...MODULE_OPTIONS,
  "keyId",
  "pin",
  "trial",
  "onOperating",
  "onWaiting",
] as const satisfies readonly (keyof Pkcs11Options)[];

/** @throws TypeError naming the option. @throws InvalidArgumentError, RangeError */
export function moduleSettings(options: TokenModuleOptions): HelperSettings {
  assertNames(options, MODULE_OPTIONS);
  return settingsOf(options, undefined);
}

/** @throws TypeError naming the option. @throws InvalidArgumentError, RangeError */
export function keySettings(options: Pkcs11Options): HelperSettings {
  assertNames(options, KEY_OPTIONS);
  const { pin, trial } = options;
  const isPin =
    pin === undefined || typeof pin === "function" || typeof pin === "string" || pin instanceof Uint8Array;
  if (!isPin) throw new TypeError("pin: expected a function, a string or a Uint8Array");
  if (trial !== undefined && typeof trial !== "boolean") throw new TypeError("trial: expected a boolean");
  assertFunction("onOperating", options.onOperating);
  assertFunction("onWaiting", options.onWaiting);
  return settingsOf(options, keyIdOf(options.keyId));
}

/** Returns the bytes of a PIN. @throws InvalidArgumentError reason `pin` for an empty one, half a character, a zero. */
export function pinBytes(pin: string | Uint8Array): Uint8Array {
  if (typeof pin !== "string" && !(pin instanceof Uint8Array)) {
    throw new TypeError(`pin: expected a string, a Uint8Array or null, got ${typeof pin}`);
  }
  const bytes =
    typeof pin === "string" && isWellFormed(pin)
      ? utf8(pin)
      : typeof pin === "string"
        ? undefined
        : copy(pin);
  // An empty PIN has opened tokens without any, and a module may take a zero for the PIN's end.
  if (bytes !== undefined && bytes.length > 0 && !bytes.includes(0)) return bytes;
  bytes?.fill(0);
  throw new InvalidArgumentError(
    "The PIN is empty or holds what no PIN can. No try was used; type it again.",
    {
      details: { reason: "pin" },
    },
  );
}

function settingsOf(options: TokenModuleOptions, keyId: Uint8Array | undefined): HelperSettings {
  const { module, moduleParameters, timeoutMs = DEFAULT_TIMEOUT_MS, env, signal, spawnHelper } = options;
  assertModulePath(module);
  assertText("moduleParameters", moduleParameters);
  if (!Number.isSafeInteger(timeoutMs) || timeoutMs < 1 || timeoutMs > MAX_TIMEOUT_MS) {
    throw new RangeError(`timeoutMs: expected 1 to ${MAX_TIMEOUT_MS}`);
  }
  if (signal !== undefined && !(signal instanceof AbortSignal))
    throw new TypeError("signal: expected an AbortSignal");
  assertFunction("spawnHelper", spawnHelper);
  const variables = env === undefined ? undefined : { ...env };
  if (variables !== undefined && Object.values(variables).some((value) => typeof value !== "string")) {
    throw new TypeError("env: expected an object of strings");
  }
  return {
    module,
    moduleParameters,
    env: variables,
    timeoutMs,
    spawnHelper,
    criteria: criteriaOf(options, keyId),
  };
}

function criteriaOf(
  { tokenLabel, serial, uri }: TokenModuleOptions,
  keyId: Uint8Array | undefined,
): TokenCriteria {
  assertText("tokenLabel", tokenLabel);
  assertText("serial", serial);
  assertText("uri", uri);
  const given = {
    ...(tokenLabel !== undefined && { label: tokenLabel }),
    ...(serial !== undefined && { serial }),
    ...(keyId !== undefined && { keyId }),
  };
  if (uri === undefined) return given;
  if (tokenLabel === undefined && serial === undefined && keyId === undefined) return parseTokenUri(uri);
  throw new TypeError("uri: it says which token and key; give it alone, or tokenLabel, serial and keyId");
}

function keyIdOf(keyId: unknown): Uint8Array | undefined {
  if (keyId === undefined) return undefined;
  const bytes = typeof keyId === "string" ? hexBytes(keyId) : keyId;
  if (!(bytes instanceof Uint8Array)) throw new TypeError("keyId: expected hexadecimal text or a Uint8Array");
  if (bytes.length >= 1 && bytes.length <= MAX_ID_BYTES) return copy(bytes);
  throw new RangeError(`keyId: expected 1 to ${MAX_ID_BYTES} bytes`);
}

function hexBytes(text: string): Uint8Array {
  try {
    return fromHex(text.replaceAll(":", ""));
  } catch {
    throw new RangeError("keyId: expected hexadecimal digits, such as 03");
  }
}

function assertText(name: string, value: unknown): void {
  if (value === undefined) return;
  if (typeof value !== "string") throw new TypeError(`${name}: expected a string, got ${typeof value}`);
  if (value === "" || !isWellFormed(value) || value.includes("\0"))
    throw new TypeError(`${name}: expected text`);
}

function assertFunction(name: string, value: unknown): void {
  if (value !== undefined && typeof value !== "function") throw new TypeError(`${name}: expected a function`);
}

function assertNames(options: unknown, names: readonly string[]): void {
  if (typeof options !== "object" || options === null) throw new TypeError("options: expected an object");
  const unknown = Object.keys(options).find((name) => !names.includes(name));
  if (unknown !== undefined) throw new TypeError(`options.${unknown}: no such option`);
}
