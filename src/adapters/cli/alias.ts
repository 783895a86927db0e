/**
 * `coffer alias …`: names of keys.
 * @module
 */
import type { Vault } from "../../index.ts";
import type { PositionalSpec } from "./arguments.ts";
import type { Command, Invocation } from "./command.ts";
import { KEY_ARGUMENT, keyIdOf, keyReferenceOf } from "./key-argument.ts";
import { SESSION_OPTIONS, withVault } from "./vault-session.ts";

type Alias = Awaited<ReturnType<Vault["kms"]["listAliases"]>>["aliases"][number];

const ALIAS: PositionalSpec = { name: "ALIAS", help: "alias/ and letters, digits, and : / _ -" };

export const aliasCommands: readonly Command[] = [
  {
    name: "alias create",
    summary: "give a key one more name",
    synopsis: "ALIAS KEY",
    positionals: [ALIAS, KEY_ARGUMENT],
    options: SESSION_OPTIONS,
    run: async (invocation) => pointAlias(invocation, "createAlias"),
  },
  {
    name: "alias update",
    summary: "point a name to another key",
    synopsis: "ALIAS KEY",
    positionals: [ALIAS, KEY_ARGUMENT],
    options: SESSION_OPTIONS,
    notes: ["What was encrypted under the old key still decrypts, unless --key names the alias."],
    run: async (invocation) => pointAlias(invocation, "updateAlias"),
  },
  {
    name: "alias delete",
    summary: "take a name away; its key stays",
    synopsis: "ALIAS",
    positionals: [ALIAS],
    options: SESSION_OPTIONS,
    run: deleteAlias,
  },
  {
    name: "alias list",
    summary: "list all names and their keys",
    synopsis: "",
    positionals: [],
    options: SESSION_OPTIONS,
    run: listAliases,
  },
];

async function pointAlias(invocation: Invocation, operation: "createAlias" | "updateAlias"): Promise<void> {
  const { args, output } = invocation;
  const aliasName = keyReferenceOf(args.positional(0));
  const targetKeyId = await withVault(invocation, async (vault) => {
    const keyId = await keyIdOf(vault, args.positional(1));
    await vault.kms[operation]({ aliasName, targetKeyId: keyId });
    return keyId;
  });
  await output.result({ aliasName, targetKeyId }, [`${aliasName}  ${targetKeyId}`]);
}

async function deleteAlias(invocation: Invocation): Promise<void> {
  const { args, output } = invocation;
  const aliasName = keyReferenceOf(args.positional(0));
  await withVault(invocation, async ({ kms }) => kms.deleteAlias({ aliasName }));
  await output.result({ aliasName }, [`${aliasName} is deleted`]);
}

async function listAliases(invocation: Invocation): Promise<void> {
  const aliases = await withVault(invocation, async ({ kms }) => {
    const found: Alias[] = [];
    let marker: string | undefined;
    do {
      const page = await kms.listAliases({ limit: 100, marker });
      found.push(...page.aliases);
      marker = page.nextMarker;
    } while (marker !== undefined);
    return found.toSorted((a, b) => (a.aliasName < b.aliasName ? -1 : 1));
  });
  const lines = aliases.map(({ aliasName, targetKeyId }) => `${aliasName}  ${targetKeyId}`);
  await invocation.output.result({ aliases }, lines);
}
