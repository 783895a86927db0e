/**
 * PKCS#11 URIs: which token and which key is meant. Only a hint for people: a slot is bound to its public key.
 * Source: RFC 7512 §2.3.
 * @module
 */
import { InvalidArgumentError } from "../../../errors.ts";
import type { TokenCriteria } from "./helper-protocol.ts";

const SCHEME = /^pkcs11:/iu;
const MAX_URI_LENGTH = 2048;
/** Attributes of a token or a slot, and of the key, by what they are called here. */
const TEXT_ATTRIBUTES: Readonly<Record<string, keyof TokenCriteria>> = {
  token: "label",
  serial: "serial",
  manufacturer: "manufacturer",
  model: "model",
  "slot-description": "slotDescription",
  "slot-manufacturer": "slotManufacturer",
  object: "keyLabel",
};
/** What does not choose here: slot numbers change, the library is the caller's, and the type is known. */
const IGNORED: ReadonlySet<string> = new Set([
  "slot-id",
  "type",
  "library-manufacturer",
  "library-version",
  "library-description",
]);
const PIN_ATTRIBUTES: ReadonlySet<string> = new Set(["pin-value", "pin-source"]);
const MODULE_ATTRIBUTES: ReadonlySet<string> = new Set(["module-path", "module-name"]);

/**
 * Returns what a `pkcs11:` URI chooses.
 * @throws InvalidArgumentError reason `token-uri`: for what is no such URI, for an attribute that is unknown or twice
 *   there, and for any that carries a PIN or names a module. The message repeats no value.
 */
export function parseTokenUri(uri: string): TokenCriteria {
  if (uri.length > MAX_URI_LENGTH || !SCHEME.test(uri)) throw refused("it does not begin with pkcs11:");
  const [path = "", ...query] = uri.replace(SCHEME, "").split("?");
  for (const attribute of query.join("?").split("&")) if (attribute !== "") refuseQuery(attribute);
  const criteria: Record<string, string | Uint8Array> = {};
  const seen = new Set<string>();
  for (const attribute of path.split(";")) {
    if (attribute === "") continue;
    const at = attribute.indexOf("=");
    const name = at === -1 ? attribute : attribute.slice(0, at);
    const value = attribute.slice(at + 1);
    if (at === -1) throw refused("an attribute has no value");
    if (seen.has(name)) throw refused(`${shown(name)} is there twice`);
    seen.add(name);
    if (IGNORED.has(name)) continue;
    const field = Object.hasOwn(TEXT_ATTRIBUTES, name) ? TEXT_ATTRIBUTES[name] : undefined;
    if (name === "id") criteria["keyId"] = decodedBytes(value);
    else if (field !== undefined) criteria[field] = decodedText(value);
    // What is not understood cannot be matched, and leaving it out would choose more than was meant.
    else throw refused(`${shown(name)} is not known`);
  }
  return criteria;
}

function refuseQuery(attribute: string): never {
  const name = attribute.split("=")[0] ?? "";
  if (PIN_ATTRIBUTES.has(name)) throw refused(`${name} is not taken: a PIN in a URI is seen by others`);
  if (MODULE_ATTRIBUTES.has(name)) throw refused(`${name} is not taken: name the module yourself`);
  throw refused(`${shown(name)} is not known`);
}

function decodedText(value: string): string {
  try {
    return decodeURIComponent(value);
  } catch {
    throw refused("an attribute is not percent-encoded UTF-8");
  }
}

function decodedBytes(value: string): Uint8Array {
  const bytes: number[] = [];
  for (let at = 0; at < value.length; at++) {
    const digits = value[at] === "%" ? value.slice(at + 1, at + 3) : undefined;
    if (digits === undefined) {
      const code = value.charCodeAt(at);
      if (code > 0x7e || code < 0x21) throw refused("id holds a character that must be percent-encoded");
      bytes.push(code);
      continue;
    }
    if (!/^[0-9a-f]{2}$/iu.test(digits)) throw refused("id is not percent-encoded");
    bytes.push(Number.parseInt(digits, 16));
    at += 2;
  }
  return Uint8Array.from(bytes);
}

/** A name is repeated only where it looks like one: it may be anything that was typed by mistake. */
function shown(name: string): string {
  return /^[a-z][a-z-]{0,30}$/u.test(name) ? name : "an attribute";
}

function refused(why: string): InvalidArgumentError {
  return new InvalidArgumentError(`This is no PKCS#11 URI that can be used: ${why}.`, {
    details: { reason: "token-uri" },
  });
}
