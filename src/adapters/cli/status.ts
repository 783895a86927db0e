/**
 * `coffer status`: what can be said of a vault without any secret.
 * @module
 */
import { type Command, GENERAL_OPTIONS, type Invocation, VAULT_OPTION, vaultDirectory } from "./command.ts";
import { type Field, fieldLines } from "./output.ts";
import { describeExistingVault } from "./vault-session.ts";

export const statusCommand: Command = {
  name: "status",
  summary: "show a vault's id, its ways in, and who has it open; needs no secret",
  synopsis: "",
  positionals: [],
  options: { ...VAULT_OPTION, ...GENERAL_OPTIONS },
  notes: [
    "What is shown is not authenticated: who can write the directory can change it. Opening proves it.",
  ],
  run,
};

async function run({ args, output }: Invocation): Promise<void> {
  const directory = vaultDirectory(args);
  const description = await describeExistingVault(directory);
  const { id, slots, inUseBy } = description;
  const fields: readonly Field[] = [
    ["vault", id],
    ["directory", directory],
    ...slots.map(({ kind, label, createdAt }): Field => [
      "way in",
      `${kind} "${label}", made ${createdAt.toISOString()}`,
    ]),
    [
      "in use",
      inUseBy === undefined
        ? "no"
        : `by process ${inUseBy.pid} on ${inUseBy.host} since ${inUseBy.since.toISOString()}`,
    ],
  ];
  await output.result({ directory, ...description, inUseBy: inUseBy ?? null }, fieldLines(fields));
}
