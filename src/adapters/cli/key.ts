/**
 * `coffer key …`: makes and shows keys.
 * @module
 */
import type { Vault } from "../../index.ts";
import type { PositionalSpec } from "./arguments.ts";
import type { Command, Invocation } from "./command.ts";
import { keyReferenceOf } from "./key-argument.ts";
import { type Field, fieldLines } from "./output.ts";
import { SESSION_OPTIONS, withVault } from "./vault-session.ts";

type CreateKeyRequest = Parameters<Vault["kms"]["createKey"]>[0] & object;
type KeyMetadata = Awaited<ReturnType<Vault["kms"]["describeKey"]>>["keyMetadata"];

const KEY: PositionalSpec = { name: "KEY", help: "a key id, an alias (alias/…) or an ARN" };

export const keyCommands: readonly Command[] = [
  {
    name: "key create",
    summary: "make a key",
    synopsis: "[--alias alias/N] [--description T] [--spec S] [--usage U] [--origin O] [--tag K=V]…",
    positionals: [],
    options: {
      alias: { value: "ALIAS", help: "a name for it: alias/ and letters, digits, and : / _ -" },
      description: { value: "TEXT", help: "what it is for" },
      spec: { value: "SPEC", help: "what kind of key: SYMMETRIC_DEFAULT" },
      usage: { value: "USAGE", help: "what it is used for: ENCRYPT_DECRYPT" },
      origin: { value: "ORIGIN", help: "who makes its material: COFFER_KMS, the vault itself" },
      tag: { value: "K=V", isRepeatable: true, help: "a tag; repeatable" },
      ...SESSION_OPTIONS,
    },
    run: createKey,
  },
  {
    name: "key list",
    summary: "list all keys with their states and aliases",
    synopsis: "",
    positionals: [],
    options: SESSION_OPTIONS,
    run: listKeys,
  },
  {
    name: "key describe",
    summary: "show what a key is",
    synopsis: "KEY",
    positionals: [KEY],
    options: SESSION_OPTIONS,
    run: describeKey,
  },
];

async function createKey(invocation: Invocation): Promise<void> {
  const { args, output } = invocation;
  const request = {
    alias: args.text("alias"),
    description: args.text("description"),
    keySpec: args.text("spec"),
    keyUsage: args.text("usage"),
    origin: args.text("origin"),
    tags: args.pairs("tag").map(([tagKey, tagValue]) => ({ tagKey, tagValue })),
    // The vault says which specs, usages and origins there are.
  } as CreateKeyRequest;
  const { keyMetadata } = await withVault(invocation, async ({ kms }) => kms.createKey(request));
  const aliases = request.alias === undefined ? [] : [request.alias];
  await output.result({ ...keyMetadata, aliases }, keyLines(keyMetadata, aliases));
}

async function describeKey(invocation: Invocation): Promise<void> {
  const keyId = keyReferenceOf(invocation.args.positional(0));
  const { keyMetadata, aliases } = await withVault(invocation, async (vault) => {
    const described = await vault.kms.describeKey({ keyId });
    const names = await aliasesByKey(vault, described.keyMetadata.keyId);
    return { ...described, aliases: names.get(described.keyMetadata.keyId) ?? [] };
  });
  await invocation.output.result({ ...keyMetadata, aliases }, keyLines(keyMetadata, aliases));
}

async function listKeys(invocation: Invocation): Promise<void> {
  const keys = await withVault(invocation, async (vault) => {
    const aliases = await aliasesByKey(vault);
    const found: (KeyMetadata & { readonly aliases: readonly string[] })[] = [];
    let marker: string | undefined;
    do {
      const page = await vault.kms.listKeys({ limit: 1000, marker });
      for (const { keyId } of page.keys) {
        const { keyMetadata } = await vault.kms.describeKey({ keyId });
        found.push({ ...keyMetadata, aliases: aliases.get(keyId) ?? [] });
      }
      marker = page.nextMarker;
    } while (marker !== undefined);
    return found;
  });
  const lines = keys.map((key) => [key.keyId, key.keyState, ...key.aliases].join("  "));
  await invocation.output.result({ keys }, lines);
}

/** Names of every key, or of one, in alphabetical order. */
async function aliasesByKey({ kms }: Vault, keyId?: string): Promise<ReadonlyMap<string, readonly string[]>> {
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

function keyLines(key: KeyMetadata, aliases: readonly string[]): readonly string[] {
  const fields: Field[] = [
    ["key", key.keyId],
    ...aliases.map((name): Field => ["alias", name]),
    ["state", key.keyState],
    ["spec", key.keySpec],
    ["usage", key.keyUsage],
    ["origin", key.origin],
    ["version", String(key.keyVersion)],
    ["created", key.creationDate.toISOString()],
  ];
  if (key.description !== "") fields.push(["description", key.description]);
  if (key.deletionProtection) fields.push(["deletion", "protected"]);
  if (key.deletionDate !== undefined) fields.push(["deletion", key.deletionDate.toISOString()]);
  return fieldLines(fields);
}
