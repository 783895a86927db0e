/**
 * `--dry-run`: everything is checked as in earnest, keys included, and then nothing is changed and nothing written.
 * @module
 */
import type { Vault } from "../../index.ts";
import type { Command } from "./command.ts";

/** What a command may look up on its way: it changes nothing, and the rest depends on its answer. */
const LOOKUPS: ReadonlySet<string> = new Set([
  "describeKey",
  "getKeyLastUsage",
  "getKeyRotationStatus",
  "listAliases",
  "listKeyRotations",
  "listKeys",
  "listResourceTags",
]);

/** Ends a command whose operation would have succeeded. */
export class DryRunEnd extends Error {}

/** Returns the vault with a KMS that only tries: after the first operation that is no look-up it ends the command. */
export function dryRunOf(vault: Vault): Vault {
  const kms = proxyOf(vault.kms, (name, call) =>
    LOOKUPS.has(name)
      ? call
      : async (request: object) => {
          await call({ ...request, dryRun: true });
          throw new DryRunEnd();
        },
  );
  return new Proxy(vault, {
    get: (target, name): unknown => (name === "kms" ? kms : Reflect.get(target, name, target)),
  });
}

/** Returns the command with `--dry-run`. */
export function withDryRun(command: Command): Command {
  return {
    ...command,
    options: {
      ...command.options,
      "dry-run": { help: "only try: say whether it would succeed, change nothing and write nothing" },
    },
    run: async (invocation) => {
      try {
        await command.run(invocation);
      } catch (error) {
        if (!(error instanceof DryRunEnd)) throw error;
        await invocation.output.result({ dryRun: true }, ["dry run: it would succeed"]);
      }
    },
  };
}

type Call = (request: object) => Promise<unknown>;

function proxyOf<T extends object>(target: T, change: (name: string, call: Call) => Call): T {
  return new Proxy(target, {
    get: (object, name): unknown => {
      const member: unknown = Reflect.get(object, name, object);
      if (typeof name !== "string" || typeof member !== "function") return member;
      return change(name, (request) => Reflect.apply(member, object, [request]) as Promise<unknown>);
    },
  });
}
