/**
 * Everything that is told of one key, for people and as JSON.
 * @module
 */
import type { Vault } from "../../index.ts";
import { keyReferenceOf } from "./key-argument.ts";
import { type Field, fieldLines } from "./output.ts";

type Kms = Vault["kms"];
export type KeyMetadata = Awaited<ReturnType<Kms["describeKey"]>>["keyMetadata"];
type Tag = Awaited<ReturnType<Kms["listResourceTags"]>>["tags"][number];
type LastUsage = Awaited<ReturnType<Kms["getKeyLastUsage"]>>["keyLastUsage"];

/** A key with its names and tags. */
export type DescribedKey = KeyMetadata & {
  readonly aliases: readonly string[];
  readonly tags: readonly Tag[];
  readonly keyLastUsage: LastUsage;
};

/** Gathers what there is to tell of the key that the text names. */
export async function describedKey(vault: Vault, text: string): Promise<DescribedKey> {
  const { kms } = vault;
  const { keyMetadata } = await kms.describeKey({ keyId: keyReferenceOf(text) });
  const { keyId } = keyMetadata;
  const aliases = await aliasesByKey(vault, keyId);
  const { tags } = await kms.listResourceTags({ keyId });
  const { keyLastUsage } = await kms.getKeyLastUsage({ keyId });
  return { ...keyMetadata, aliases: aliases.get(keyId) ?? [], tags, keyLastUsage };
}

/** Names of every key, or of one, in alphabetical order. */
export async function aliasesByKey(
  { kms }: Vault,
  keyId?: string,
): Promise<ReadonlyMap<string, readonly string[]>> {
  const names = new Map<string, string[]>();
  let marker: string | undefined;
  do {
    const page = await kms.listAliases({ limit: 100, marker, keyId });
    for (const { aliasName, targetKeyId } of page.aliases) {
      names.set(targetKeyId, [...(names.get(targetKeyId) ?? []), aliasName].toSorted());
    }
    marker = page.nextMarker;
  } while (marker !== undefined);
  return names;
}

/** Returns the key as aligned lines. */
export function describedKeyLines(key: DescribedKey): readonly string[] {
  const { deletionDate, description, keyLastUsage: used } = key;
  const fields: Field[] = [
    ["key", key.keyId],
    ...key.aliases.map((name): Field => ["alias", name]),
    ["state", key.keyState],
    ["spec", key.keySpec],
    ["usage", key.keyUsage],
    ["origin", key.origin],
    ["version", String(key.keyVersion)],
    ["created", key.creationDate.toISOString()],
  ];
  if (description !== "") fields.push(["description", description]);
  if (key.deletionProtection) fields.push(["deletion", "protected"]);
  if (deletionDate !== undefined) fields.push(["deletion", deletionDate.toISOString()]);
  if (used !== undefined) fields.push(["last use", `${used.timestamp.toISOString()}, ${used.operation}`]);
  return fieldLines([
    ...fields,
    ...key.tags.map(({ tagKey, tagValue }): Field => ["tag", `${tagKey}=${tagValue}`]),
  ]);
}
