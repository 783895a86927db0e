/**
 * Programs for a vault, as they are generated: calls one after another or at once, and what happens to a vault
 * between them. References are numbers, resolved when a step begins: a program means something on any vault.
 */
import fc from "fast-check";
import type { Blob, Call, Operation } from "./kms-model.ts";

const DAY_MS = 86_400_000;
const HOUR_MS = 3_600_000;

/** A call whose references are still to be resolved. */
export interface Draft {
  readonly operation: Operation;
  /** Of the keys ever made, one; above them, an unknown id. */
  readonly key: number;
  readonly otherKey: number;
  readonly alias: string;
  readonly byAlias: boolean;
  readonly blob: number;
  readonly isConstrained: boolean;
  readonly isWrongContext: boolean;
  readonly days: number;
  readonly flag: boolean;
  readonly text: string;
  readonly names: readonly string[];
  readonly context: number;
  readonly isDryRun: boolean;
  /** How many turns of the event loop's queues later than the others it begins: see {@link turns}. */
  readonly delay: number;
}

export type Step =
  | { readonly step: "calls"; readonly calls: readonly Draft[] }
  | { readonly step: "clock"; readonly byMs: number }
  | { readonly step: "unlock" | "reopen" };

export type Program = readonly Step[];

export const CONTEXTS: readonly Readonly<Record<string, string>>[] = [{}, { a: "bc" }, { ab: "c" }];

const ALIASES = ["alias/default", "alias/a", "alias/b", "alias/a/b", "alias/A"];
/** All operations, those that meet in races and those that lead somewhere more often. */
const WEIGHTS: Readonly<Record<Operation, number>> = {
  createKey: 6,
  encrypt: 8,
  decrypt: 8,
  reEncrypt: 3,
  generateDataKey: 2,
  generateDataKeyWithoutPlaintext: 1,
  encryptDataKey: 1,
  decryptDataKey: 1,
  rotateKeyOnDemand: 5,
  enableKeyRotation: 4,
  disableKeyRotation: 1,
  getKeyRotationStatus: 2,
  listKeyRotations: 2,
  scheduleKeyDeletion: 5,
  cancelKeyDeletion: 4,
  setDeletionProtection: 2,
  enableKey: 4,
  disableKey: 3,
  updateKeyDescription: 2,
  describeKey: 3,
  listKeys: 1,
  createAlias: 4,
  updateAlias: 5,
  deleteAlias: 2,
  listAliases: 2,
  tagResource: 2,
  untagResource: 2,
  listResourceTags: 1,
  getKeyLastUsage: 3,
  lock: 1,
};

const operation: fc.Arbitrary<Operation> = fc.oneof(
  ...Object.entries(WEIGHTS).map(([name, weight]) => ({
    weight,
    arbitrary: fc.constant(name as Operation),
  })),
);

const draft: fc.Arbitrary<Draft> = fc.record({
  operation,
  key: fc.nat(6),
  otherKey: fc.nat(6),
  alias: fc.constantFrom(...ALIASES),
  byAlias: fc.boolean(),
  blob: fc.nat(20),
  isConstrained: fc.boolean(),
  isWrongContext: oneIn(6),
  days: fc.constantFrom(90, 91, 200, 366),
  flag: fc.boolean(),
  text: fc.constantFrom("x", "another", "ünïcode"),
  names: fc.uniqueArray(fc.constantFrom("t1", "t2", "T1"), { maxLength: 3 }),
  context: fc.nat(CONTEXTS.length - 1),
  isDryRun: oneIn(10),
  delay: fc.oneof(fc.constant(0), fc.nat(12)),
});

function oneIn(count: number): fc.Arbitrary<boolean> {
  return fc.nat(count - 1).map((number) => number === count - 1);
}

const clock: fc.Arbitrary<Step> = fc
  .constantFrom(
    1,
    HOUR_MS - 1,
    HOUR_MS,
    DAY_MS,
    7 * DAY_MS,
    30 * DAY_MS,
    91 * DAY_MS,
    366 * DAY_MS,
    400 * DAY_MS + 1,
    5 * 366 * DAY_MS,
    -1,
    -HOUR_MS,
    -10 * DAY_MS,
    -3 * 366 * DAY_MS,
  )
  .map((byMs) => ({ step: "clock", byMs }) as const);

/** 1 to 24 steps; at most four calls at once, so that every order of them can be tried. */
export const program: fc.Arbitrary<Program> = fc.array(
  fc.oneof(
    { weight: 12, arbitrary: draft.map((call): Step => ({ step: "calls", calls: [call] })) },
    {
      weight: 8,
      arbitrary: fc
        .array(draft, { minLength: 2, maxLength: 4 })
        .map((calls): Step => ({ step: "calls", calls })),
    },
    { weight: 5, arbitrary: clock },
    { weight: 2, arbitrary: fc.constant<Step>({ step: "unlock" }) },
    { weight: 1, arbitrary: fc.constant<Step>({ step: "reopen" }) },
  ),
  { minLength: 1, maxLength: 24, size: "max" },
);

const PLAIN: Draft = {
  operation: "listKeys",
  key: 0,
  otherKey: 0,
  alias: "alias/a",
  byAlias: false,
  blob: 0,
  isConstrained: false,
  isWrongContext: false,
  days: 90,
  flag: false,
  text: "x",
  names: [],
  context: 0,
  isDryRun: false,
  delay: 0,
};

/** A draft on the first key and the first blob; names `alias/a` where it names an alias. */
export function draftOf(wanted: Operation, members: Partial<Draft> = {}): Draft {
  return { ...PLAIN, operation: wanted, ...members };
}

/** Drafts that are called at once. */
export function atOnce(...calls: readonly Draft[]): Step {
  return { step: "calls", calls };
}

/** Waits for some turns, each tenth for what the system has to say: calls that begin then meet others under way. */
export async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) {
    if (turn % 10 === 9) await new Promise((resume) => setImmediate(resume));
    else await Promise.resolve();
  }
}

export function passes(byMs: number): Step {
  return { step: "clock", byMs };
}

/** Operations that need a blob. */
const OPENING: readonly Operation[] = ["decrypt", "decryptDataKey", "reEncrypt"];

/** A call on the keys and blobs that there are; undefined when it needs a blob and there is none. */
export function resolve(
  { isWrongContext, delay: _delay, ...wanted }: Draft,
  keys: readonly number[],
  blobs: readonly Blob[],
  unknownKey: number,
): Call | undefined {
  const keyOf = (number: number): number => [...keys, unknownKey][number % (keys.length + 1)] ?? unknownKey;
  const blob = blobs[wanted.blob % Math.max(1, blobs.length)];
  const opens = OPENING.includes(wanted.operation);
  if (opens && blob === undefined) return undefined;
  const rightContext = opens && !isWrongContext ? (blob?.context ?? 0) : wanted.context;
  return {
    ...wanted,
    key: keyOf(wanted.key),
    otherKey: keyOf(wanted.otherKey),
    blob,
    context: rightContext,
  };
}
