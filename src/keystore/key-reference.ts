/**
 * How callers name a key: by its id (a UUID) or by an alias (`alias/…`), and what an alias may be called.
 * Source: AWS KMS API reference, KeyId and AliasName.
 * @module
 */
import { fromHex, hex } from "../bytes.ts";
import { InvalidArgumentError, NotFoundError } from "../errors.ts";
import { MAX_ALIAS_LENGTH } from "../limits.ts";

/** The alias whose key serves where a call names none. */
export const DEFAULT_ALIAS = "alias/default";

const ALIAS_PREFIX = "alias/";
/** Reserved by AWS for the keys that it manages; refused here, so that a vault can be mirrored there. */
const RESERVED_PREFIX = "alias/aws/";
const ALIAS_NAME = /^alias\/[a-zA-Z0-9:/_-]+$/u;
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/iu;

/** A key as a caller named it. */
export type KeyReference =
  { readonly kind: "id"; readonly id: Uint8Array } | { readonly kind: "alias"; readonly aliasName: string };

/**
 * Reads a key argument.
 * @throws NotFoundError for text that can name no key, as AWS answers it.
 */
export function parseKeyReference(text: string): KeyReference {
  if (text.startsWith(ALIAS_PREFIX)) {
    if (ALIAS_NAME.test(text) && text.length <= MAX_ALIAS_LENGTH) return { kind: "alias", aliasName: text };
    throw new NotFoundError("No such alias: the name has characters or a length that no alias can have.");
  }
  if (UUID.test(text)) return { kind: "id", id: fromHex(text.replaceAll("-", "")) };
  throw new NotFoundError("Invalid key id: give a key id (a UUID) or an alias (alias/…).");
}

/**
 * Reads an argument that must be a key id, where the clouds take no alias.
 * @throws NotFoundError for text that is no UUID. @throws InvalidArgumentError for an alias.
 */
export function parseKeyId(text: string): Uint8Array {
  if (text.startsWith(ALIAS_PREFIX)) {
    throw new InvalidArgumentError(
      "This operation takes a key id, not an alias. Ask describeKey({ keyId: alias }) for the id.",
    );
  }
  const reference = parseKeyReference(text);
  if (reference.kind !== "id") throw new NotFoundError("Invalid key id: give a key id (a UUID).");
  return reference.id;
}

/** Returns the UUID text of a key id, lower case. */
export function formatKeyId(id: Uint8Array): string {
  const digits = hex(id);
  return `${digits.slice(0, 8)}-${digits.slice(8, 12)}-${digits.slice(12, 16)}-${digits.slice(16, 20)}-${digits.slice(20)}`;
}

/**
 * Checks the name of an alias that is to be made: `alias/` and 1 to 250 of `a-z A-Z 0-9 : / _ -`.
 * @throws InvalidArgumentError
 */
export function assertAliasName(aliasName: string): void {
  if (!ALIAS_NAME.test(aliasName)) {
    throw new InvalidArgumentError(
      "aliasName: expected alias/ and then letters, digits, and : / _ - (for example alias/Apollo/WorkKey)",
    );
  }
  if (aliasName.length > MAX_ALIAS_LENGTH) {
    throw new InvalidArgumentError(
      `aliasName: at most ${MAX_ALIAS_LENGTH} characters, got ${aliasName.length}`,
    );
  }
  if (aliasName.startsWith(RESERVED_PREFIX)) {
    throw new InvalidArgumentError(`aliasName: ${RESERVED_PREFIX} is reserved; choose another name`);
  }
}
