/**
 * `coffer key last-used`, `coffer key tags`: single facts of a key, for scripts.
 * @module
 */
import type { Command, Invocation } from "./command.ts";
import { KEY_ARGUMENT, keyIdOf } from "./key-argument.ts";
import { type Field, fieldLines } from "./output.ts";
import { SESSION_OPTIONS, withVault } from "./vault-session.ts";

export const keyFactCommands: readonly Command[] = [
  {
    name: "key last-used",
    summary: "tell when a key last encrypted or decrypted, and by which operation",
    synopsis: "KEY",
    positionals: [KEY_ARGUMENT],
    options: SESSION_OPTIONS,
    run: lastUsed,
  },
  {
    name: "key tags",
    summary: "list a key's tags",
    synopsis: "KEY",
    positionals: [KEY_ARGUMENT],
    options: SESSION_OPTIONS,
    run: listTags,
  },
];

async function lastUsed(invocation: Invocation): Promise<void> {
  const shown = await withVault(invocation, async (vault) =>
    vault.kms.getKeyLastUsage({ keyId: await keyIdOf(vault, invocation.args.positional(0)) }),
  );
  const { keyLastUsage: use } = shown;
  const when = use === undefined ? "never" : `${use.timestamp.toISOString()}, ${use.operation}`;
  await invocation.output.result(
    shown,
    fieldLines([
      ["key", shown.keyId],
      ["created", shown.keyCreationDate.toISOString()],
      ["last use", when],
    ]),
  );
}

async function listTags(invocation: Invocation): Promise<void> {
  const shown = await withVault(invocation, async (vault) => {
    const keyId = await keyIdOf(vault, invocation.args.positional(0));
    // A page holds as many as a key can have.
    const { tags } = await vault.kms.listResourceTags({ keyId });
    return { keyId, tags: tags.toSorted((a, b) => (a.tagKey < b.tagKey ? -1 : 1)) };
  });
  const lines = shown.tags.map(({ tagKey, tagValue }): Field => ["tag", `${tagKey}=${tagValue}`]);
  await invocation.output.result(shown, fieldLines([["key", shown.keyId], ...lines]));
}
