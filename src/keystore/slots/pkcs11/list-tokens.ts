/**
 * What tokens there are, and which of their keys can become a way in, before anybody is asked for a PIN.
 * @module
 */
import { hex } from "../../../bytes.ts";
import { type TokenKeyKind, tokenKeyOfSpki } from "../../../crypto/token-public-key.ts";
import { runHelper } from "./helper-process.ts";
import type { ListedKey, ListedToken } from "./helper-protocol.ts";
import { errorOf } from "./token-errors.ts";
import { moduleSettings, type TokenInfo, type TokenModuleOptions } from "./token-options.ts";

/** A key that can be seen without a PIN. */
export interface TokenKeyDescription {
  /** CKA_ID in hexadecimal, for `keyId`; empty where the token gives none. */
  readonly keyId: string;
  readonly label: string;
  /** Undefined for a key of a kind that no slot takes. */
  readonly algorithm: TokenKeyKind | undefined;
  readonly hasCertificate: boolean;
  /** True when a slot can be made of it, as far as that can be seen: enrolling tries it. */
  readonly isUsable: boolean;
  /** Why not, in a sentence. */
  readonly missing: string | undefined;
}

export interface TokenDescription extends TokenInfo {
  readonly needsPin: boolean;
  /** A wrong PIN was given since the last right one. Not every token tells. */
  readonly pinLow: boolean;
  readonly pinFinalTry: boolean;
  readonly pinLocked: boolean;
  /** True when AES-256 keys of the token can serve; they show themselves only after a login. */
  readonly takesAesKeys: boolean;
  readonly keys: readonly TokenKeyDescription[];
}

/**
 * Lists the tokens of a module, or those that the label, serial number or URI fits. Asks for no PIN and uses no key.
 * Empty where no token is there, or another program holds the reader.
 * @throws TypeError, InvalidArgumentError; TokenError `COFFER_PKCS11_…`; CofferError `COFFER_TIMEOUT`.
 */
export async function listTokens(options: TokenModuleOptions): Promise<TokenDescription[]> {
  return listTokensWith(options, {});
}

/** {@link listTokens} with a helper of another place. Not exported by the package. */
export async function listTokensWith(
  options: TokenModuleOptions,
  own: { readonly script?: string },
): Promise<TokenDescription[]> {
  const settings = { ...moduleSettings(options), ...own };
  const pin = (): never => {
    throw errorOf(
      "COFFER_PKCS11_MODULE_CRASHED",
      "The token helper asked for a PIN that listing does not need.",
    );
  };
  const result = await runHelper(settings, { kind: "list" }, { pin }, options.signal);
  return result.kind === "tokens" ? result.tokens.map(describe) : [];
}

function describe(listed: ListedToken): TokenDescription {
  return {
    ...listed.token,
    needsPin: listed.needsPin,
    pinLow: listed.isLow,
    pinFinalTry: listed.isFinalTry,
    pinLocked: listed.isLocked,
    takesAesKeys: listed.canGcm,
    keys: listed.keys.map((key) => describeKey(listed, key)),
  };
}

function describeKey(
  token: ListedToken,
  { objectId, label, spki, hasCertificate }: ListedKey,
): TokenKeyDescription {
  const algorithm = algorithmOf(spki);
  const missing = missingFor(token, algorithm);
  return { keyId: hex(objectId), label, algorithm, hasCertificate, isUsable: missing === undefined, missing };
}

function algorithmOf(spki: Uint8Array | undefined): TokenKeyKind | undefined {
  try {
    return spki === undefined ? undefined : tokenKeyOfSpki(spki)?.kind;
  } catch {
    return undefined;
  }
}

function missingFor(token: ListedToken, algorithm: TokenKeyKind | undefined): string | undefined {
  if (algorithm === undefined) return "Not P-256, P-384 or RSA of 2048, 3072 or 4096 bits.";
  if (algorithm === "rsa-oaep-sha256") {
    return token.canOaep || token.canRawRsa ? undefined : "The module does not decrypt RSA.";
  }
  return token.canAgree ? undefined : "The module does not do ECDH.";
}
