/**
 * KEY and ALIAS as they are typed: a key id, an alias, or an ARN of either. ARNs are known to adapters alone.
 * @module
 */
import type { Vault } from "../../index.ts";
import type { PositionalSpec } from "./arguments.ts";

export const KEY_ARGUMENT: PositionalSpec = { name: "KEY", help: "a key id, an alias (alias/…) or an ARN" };

/** Partition, service, region and account tell nothing here: there is one vault. */
const ARN = /^arn:(?:[^:]*:){4}(?:key\/(?<id>.+)|(?<alias>alias\/.+))$/u;

/** Returns the key id or alias that the text names. What names nothing is for the vault to refuse. */
export function keyReferenceOf(text: string): string {
  const { id, alias } = ARN.exec(text)?.groups ?? {};
  return id ?? alias ?? text;
}

/** Returns the id of the key, for operations that take no alias. */
export async function keyIdOf(vault: Vault, text: string): Promise<string> {
  const { keyMetadata } = await vault.kms.describeKey({ keyId: keyReferenceOf(text) });
  return keyMetadata.keyId;
}
