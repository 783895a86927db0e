/**
 * `coffer key …`: what changes an existing key, and its rotations. Each change ends with showing the key.
 * @module
 */
import type { Vault } from "../../index.ts";
import { type Arguments, type OptionSpec, type PositionalSpec, UsageError } from "./arguments.ts";
import type { Command, Invocation } from "./command.ts";
import { describedKey, describedKeyLines } from "./described-key.ts";
import { KEY_ARGUMENT, keyIdOf } from "./key-argument.ts";
import { type Field, fieldLines } from "./output.ts";
import { SESSION_OPTIONS, withVault } from "./vault-session.ts";

type Kms = Vault["kms"];
type KeyRotation = Awaited<ReturnType<Kms["listKeyRotations"]>>["rotations"][number];

interface Change {
  readonly verb: string;
  readonly summary: string;
  readonly synopsis?: string;
  readonly positionals?: readonly PositionalSpec[];
  readonly options?: Readonly<Record<string, OptionSpec>>;
  readonly notes?: readonly string[];
  /** Reads the arguments, before any passphrase is asked for, and returns what to do. */
  readonly plan: (args: Arguments) => (kms: Kms, keyId: string) => Promise<unknown>;
}

const CHANGES: readonly Change[] = [
  {
    verb: "enable",
    summary: "enable a disabled key",
    plan: () => async (kms, keyId) => kms.enableKey({ keyId }),
  },
  {
    verb: "disable",
    summary: "disable a key: it encrypts and decrypts nothing until it is enabled",
    plan: () => async (kms, keyId) => kms.disableKey({ keyId }),
  },
  {
    verb: "rotate",
    summary: "give a key fresh material now, or regularly; old ciphertext still decrypts",
    synopsis: " [--every DAYS | --never]",
    options: {
      every: { value: "DAYS", help: "not now, but every so many days from now on, 90 to 2,560" },
      never: { help: "not now, and no longer regularly" },
    },
    plan: rotate,
  },
  {
    verb: "schedule-deletion",
    summary: "block a key now and delete it later",
    synopsis: " [--days N]",
    options: { days: { value: "N", help: "days until then, 7 to 366; 30 unless told otherwise" } },
    notes: ["What the key encrypted is lost then. Until then coffer key cancel-deletion keeps it."],
    plan: (args) => {
      const pendingWindowInDays = args.integer("days", 7, 366);
      return async (kms, keyId) => kms.scheduleKeyDeletion({ keyId, pendingWindowInDays });
    },
  },
  {
    verb: "cancel-deletion",
    summary: "keep a key that is to be deleted; it is disabled afterwards",
    plan: () => async (kms, keyId) => kms.cancelKeyDeletion({ keyId }),
  },
  {
    verb: "protect",
    summary: "protect a key from deletion",
    plan: () => async (kms, keyId) => kms.setDeletionProtection({ keyId, enableDeletionProtection: true }),
  },
  {
    verb: "unprotect",
    summary: "allow a key to be deleted",
    plan: () => async (kms, keyId) => kms.setDeletionProtection({ keyId, enableDeletionProtection: false }),
  },
  {
    verb: "set-description",
    summary: "replace a key's description",
    synopsis: " TEXT",
    positionals: [{ name: "TEXT", help: 'what the key is for; "" for nothing' }],
    plan: (args) => {
      const description = args.positional(1);
      return async (kms, keyId) => kms.updateKeyDescription({ keyId, description });
    },
  },
  {
    verb: "tag",
    summary: "add tags to a key, or give them another value",
    synopsis: " --tag K=V…",
    options: { tag: { value: "K=V", isRepeatable: true, help: "a tag; repeatable" } },
    plan: tag,
  },
  {
    verb: "untag",
    summary: "remove tags from a key",
    synopsis: " --tag K…",
    options: { tag: { value: "K", isRepeatable: true, help: "the name of a tag; repeatable" } },
    plan: untag,
  },
];

export const keyChangeCommands: readonly Command[] = [
  ...CHANGES.map(commandOf),
  {
    name: "key rotations",
    summary: "list the versions of a key's material, and whether it rotates regularly",
    synopsis: "KEY",
    positionals: [KEY_ARGUMENT],
    options: SESSION_OPTIONS,
    run: listRotations,
  },
];

function commandOf({
  verb,
  summary,
  synopsis = "",
  positionals = [],
  options,
  notes = [],
  plan,
}: Change): Command {
  return {
    name: `key ${verb}`,
    summary,
    synopsis: `KEY${synopsis}`,
    positionals: [KEY_ARGUMENT, ...positionals],
    options: { ...options, ...SESSION_OPTIONS },
    notes,
    run: async (invocation) => {
      const { args, output } = invocation;
      const apply = plan(args);
      const shown = await withVault(invocation, async (vault) => {
        const keyId = await keyIdOf(vault, args.positional(0));
        await apply(vault.kms, keyId);
        return describedKey(vault, keyId);
      });
      await output.result(shown, describedKeyLines(shown));
    },
  };
}

function rotate(args: Arguments): (kms: Kms, keyId: string) => Promise<unknown> {
  const rotationPeriodInDays = args.integer("every", 90, 2560);
  if (args.has("never")) {
    if (rotationPeriodInDays !== undefined) throw new UsageError("give one of --every and --never");
    return async (kms, keyId) => kms.disableKeyRotation({ keyId });
  }
  return rotationPeriodInDays === undefined
    ? async (kms, keyId) => kms.rotateKeyOnDemand({ keyId })
    : async (kms, keyId) => kms.enableKeyRotation({ keyId, rotationPeriodInDays });
}

function tag(args: Arguments): (kms: Kms, keyId: string) => Promise<unknown> {
  args.required("tag", "team=apollo");
  const tags = args.pairs("tag").map(([tagKey, tagValue]) => ({ tagKey, tagValue }));
  return async (kms, keyId) => kms.tagResource({ keyId, tags });
}

function untag(args: Arguments): (kms: Kms, keyId: string) => Promise<unknown> {
  args.required("tag", "team");
  const tagKeys = args.all("tag");
  return async (kms, keyId) => kms.untagResource({ keyId, tagKeys });
}

async function listRotations(invocation: Invocation): Promise<void> {
  const shown = await withVault(invocation, async (vault) => {
    const keyId = await keyIdOf(vault, invocation.args.positional(0));
    const status = await vault.kms.getKeyRotationStatus({ keyId });
    const rotations: KeyRotation[] = [];
    let marker: string | undefined;
    do {
      const page = await vault.kms.listKeyRotations({
        keyId,
        includeKeyMaterial: "ALL_KEY_MATERIAL",
        marker,
      });
      rotations.push(...page.rotations);
      marker = page.nextMarker;
    } while (marker !== undefined);
    return { ...status, rotations };
  });
  const regular: Field = [
    "regularly",
    shown.keyRotationEnabled
      ? `every ${shown.rotationPeriodInDays} days, next ${shown.nextRotationDate?.toISOString()}`
      : "no",
  ];
  const versions = shown.rotations.map(
    ({ keyVersion, rotationDate, rotationType = "CREATED", keyMaterialState }): Field => [
      `version ${keyVersion}`,
      `${rotationDate.toISOString()}  ${rotationType}  ${keyMaterialState}`,
    ],
  );
  await invocation.output.result(shown, fieldLines([["key", shown.keyId], regular, ...versions]));
}
