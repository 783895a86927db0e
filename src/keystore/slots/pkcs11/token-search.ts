/**
 * Finds tokens and keys before anybody is asked for a PIN: a PIN goes only to the token that showed the right public
 * key [F-149]. Runs in the helper's process.
 * @module
 */
import { setTimeout as delay } from "node:timers/promises";
import type { Handle } from "pkcs11js";
import { compare, equal, fromUtf8 } from "../../../bytes.ts";
import {
  tokenKeyOfCertificate,
  tokenKeyOfModulus,
  tokenKeyOfPoint,
  type TokenPublicKey,
} from "../../../crypto/token-public-key.ts";
import { CKA, CKF, CKK, CKO, type Cryptoki, CryptokiError, type RawToken } from "./cryptoki.ts";
import type { TokenCriteria, TokenFacts, TokenTarget } from "./helper-protocol.ts";

/** One token in one slot, and the session that its keys were read in. */
export interface FoundToken {
  readonly slot: Handle;
  readonly session: Handle;
  readonly raw: RawToken;
  readonly facts: TokenFacts;
}

/** A public key on a token, seen without a PIN. */
export interface FoundKey {
  readonly token: FoundToken;
  readonly publicKey: TokenPublicKey | undefined;
  readonly objectId: Uint8Array;
  readonly label: string;
  readonly fromCertificate: boolean;
}

/** What one look at all slots showed. */
export interface TokensSeen {
  /** Those that the caller's words fit. */
  readonly tokens: readonly FoundToken[];
  /** Labels of all. */
  readonly labels: readonly string[];
  /** Why slots and tokens could not be looked at: the others may be fine. */
  readonly failures: CryptokiError[];
}

const FIND_TRIES = 3;
const FIND_PAUSE_MS = 300;
const DER_OCTET_STRING = 4;
const MAX_LABEL_LENGTH = 128;
const MAX_ID_BYTES = 255;

/**
 * Looks until `choose` finds something, three times at most: another program's end can reset a card while it is read.
 * Only this stage is ever repeated, never a login.
 */
export async function searchTokens<T>(
  cryptoki: Cryptoki,
  criteria: TokenCriteria,
  choose: (seen: TokensSeen) => T | undefined,
): Promise<{ readonly chosen: T | undefined; readonly seen: TokensSeen }> {
  for (let tries = 1; ; tries++) {
    const seen = lookAround(cryptoki, criteria);
    const chosen = choose(seen);
    if (chosen !== undefined || tries === FIND_TRIES) return { chosen, seen };
    for (const { session } of seen.tokens) closeQuietly(cryptoki, session);
    await delay(FIND_PAUSE_MS);
  }
}

function lookAround(cryptoki: Cryptoki, criteria: TokenCriteria): TokensSeen {
  const tokens: FoundToken[] = [];
  const labels: string[] = [];
  const failures: CryptokiError[] = [];
  const slots = trying(failures, () => cryptoki.slots(true)) ?? [];
  for (const slot of slots) {
    trying(failures, () => {
      const raw = cryptoki.tokenInfo(slot);
      if ((raw.flags & CKF.tokenInitialized) === 0) return;
      const { description, manufacturer } = cryptoki.slotInfo(slot);
      labels.push(raw.label);
      const facts = factsOf(raw, description);
      if (!fits(facts, manufacturer, criteria)) return;
      tokens.push({ slot, raw, facts, session: cryptoki.openSession(slot) });
    });
  }
  return { tokens, labels, failures };
}

export function factsOf({ label, serial, manufacturer, model }: RawToken, slotName: string): TokenFacts {
  return { label, serial, manufacturer, model, slotName };
}

/** The token's own words against the caller's, exactly. */
function fits(facts: TokenFacts, slotManufacturer: string, criteria: TokenCriteria): boolean {
  const pairs = [
    [criteria.label, facts.label],
    [criteria.serial, facts.serial],
    [criteria.manufacturer, facts.manufacturer],
    [criteria.model, facts.model],
    [criteria.slotDescription, facts.slotName],
    [criteria.slotManufacturer, slotManufacturer],
  ] as const;
  return pairs.every(([wanted, found]) => wanted === undefined || wanted === found);
}

/** Public keys of all tokens that can be read. */
export function publicKeysOfAll(
  cryptoki: Cryptoki,
  { tokens, failures }: TokensSeen,
  criteria: TokenCriteria,
): FoundKey[] {
  return tokens.flatMap((token) => trying(failures, () => publicKeysOf(cryptoki, token, criteria)) ?? []);
}

function trying<T>(failures: CryptokiError[], look: () => T): T | undefined {
  try {
    return look();
  } catch (error) {
    if (!(error instanceof CryptokiError)) throw error;
    failures.push(error);
    return undefined;
  }
}

/**
 * Public keys and certificates of a token that the caller's words fit, each key once. A card may show a key by its
 * certificate alone.
 */
function publicKeysOf(
  cryptoki: Cryptoki,
  token: FoundToken,
  { keyId, keyLabel }: Pick<TokenCriteria, "keyId" | "keyLabel">,
): FoundKey[] {
  const { session } = token;
  const keys: FoundKey[] = [];
  for (const objectClass of [CKO.publicKey, CKO.certificate]) {
    const fromCertificate = objectClass === CKO.certificate;
    for (const object of cryptoki.find(session, objectClass, keyId)) {
      const objectId = cryptoki.attribute(session, object, CKA.id) ?? new Uint8Array();
      const label = labelOf(cryptoki.attribute(session, object, CKA.label));
      if (objectId.length > MAX_ID_BYTES || (keyLabel !== undefined && keyLabel !== label)) continue;
      const publicKey = readQuietly(() =>
        fromCertificate ? certificateKey(cryptoki, session, object) : publicKeyOf(cryptoki, session, object),
      );
      const known = keys.findIndex((key) => isSameObject(key, objectId, publicKey));
      if (known === -1) keys.push({ token, publicKey, objectId, label, fromCertificate });
      // The key object names the key; the certificate's label is its holder's.
      else if (fromCertificate) keys[known] = { ...(keys[known] as FoundKey), fromCertificate };
    }
  }
  return keys;
}

/** Where one of the targets' keys is: the hinted token first, as a key may be on two of them. */
export function locateTargets(
  cryptoki: Cryptoki,
  seen: TokensSeen,
  targets: readonly TokenTarget[],
  criteria: TokenCriteria,
): ReadonlyMap<number, FoundKey> {
  const found = new Map<number, FoundKey>();
  for (const key of publicKeysOfAll(cryptoki, seen, criteria)) {
    const { publicKey, token } = key;
    if (publicKey === undefined) continue;
    for (const [index, { spki, serial }] of targets.entries()) {
      if (!equal(publicKey.spki, spki)) continue;
      if (!found.has(index) || token.facts.serial === serial) found.set(index, key);
    }
  }
  return found;
}

function isSameObject(key: FoundKey, id: Uint8Array, publicKey: TokenPublicKey | undefined): boolean {
  if (!equal(key.objectId, id)) return false;
  if (publicKey === undefined || key.publicKey === undefined) return publicKey === key.publicKey;
  return compare(key.publicKey.spki, publicKey.spki) === 0;
}

function publicKeyOf(cryptoki: Cryptoki, session: Handle, object: Handle): TokenPublicKey | undefined {
  const keyType = cryptoki.number(session, object, CKA.keyType);
  if (keyType === CKK.ec) {
    const point = cryptoki.attribute(session, object, CKA.ecPoint);
    return point === undefined ? undefined : tokenKeyOfPoint(withoutDer(point));
  }
  if (keyType !== CKK.rsa) return undefined;
  const modulus = cryptoki.attribute(session, object, CKA.modulus);
  const exponent = cryptoki.attribute(session, object, CKA.publicExponent);
  return modulus === undefined || exponent === undefined ? undefined : tokenKeyOfModulus(modulus, exponent);
}

function certificateKey(cryptoki: Cryptoki, session: Handle, object: Handle): TokenPublicKey | undefined {
  const value = cryptoki.attribute(session, object, CKA.value);
  return value === undefined ? undefined : tokenKeyOfCertificate(value);
}

/** CKA_EC_POINT is a DER OCTET STRING of the point; some give the point itself. */
function withoutDer(point: Uint8Array): Uint8Array {
  return point[0] === DER_OCTET_STRING && point.length > 2 && point[1] === point.length - 2
    ? point.subarray(2)
    : point;
}

/** An object that nobody can read is none of ours; what the module says is passed on. */
function readQuietly<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof CryptokiError) throw error;
    return undefined;
  }
}

function labelOf(label: Uint8Array | undefined): string {
  try {
    return label === undefined
      ? ""
      : fromUtf8(label)
          .slice(0, MAX_LABEL_LENGTH)
          .replace(/[\0 ]+$/u, "");
  } catch {
    return "";
  }
}

function closeQuietly(cryptoki: Cryptoki, session: Handle): void {
  try {
    cryptoki.closeSession(session);
  } catch {
    // It is over for us either way.
  }
}
