/**
 * `coffer key …`: makes and shows keys.
 * @module
 */
import type { Vault } from "../../index.ts";
import type { Command, Invocation } from "./command.ts";
import { aliasesByKey, describedKey, describedKeyLines, type KeyMetadata } from "./described-key.ts";
import { KEY_ARGUMENT } from "./key-argument.ts";
import { SESSION_OPTIONS, withVault } from "./vault-session.ts";

type CreateKeyRequest = Parameters<Vault["kms"]["createKey"]>[0] & object;

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
    positionals: [KEY_ARGUMENT],
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
  const shown = await withVault(invocation, async (vault) => {
    const { keyMetadata } = await vault.kms.createKey(request);
    return describedKey(vault, keyMetadata.keyId);
  });
  await output.result(shown, describedKeyLines(shown));
}

async function describeKey(invocation: Invocation): Promise<void> {
  const text = invocation.args.positional(0);
  const shown = await withVault(invocation, async (vault) => describedKey(vault, text));
  await invocation.output.result(shown, describedKeyLines(shown));
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
