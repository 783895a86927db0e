/**
 * The edge where requests come in: their shape is checked once, by a schema that was built once. A message names the
 * member and what was expected, and never shows the value, which may be a secret.
 * @module
 */
import {
  type BaseIssue,
  boolean,
  type GenericSchema,
  type InferOutput,
  integer,
  maxValue,
  minValue,
  number,
  type ObjectEntries,
  optional,
  pipe,
  safeParse,
  strictObject,
  string,
} from "valibot";
import { InvalidArgumentError } from "../errors.ts";

/** Members that every request may have. */
const COMMON_ENTRIES: {
  readonly dryRun: ReturnType<typeof optional<ReturnType<typeof boolean>, undefined>>;
} = {
  dryRun: optional(boolean()),
};

/** A checked request. */
export type Accepted<Entries extends ObjectEntries> = InferOutput<
  ReturnType<typeof strictObject<Entries & typeof COMMON_ENTRIES, undefined>>
>;

/**
 * Returns the function that checks requests of one operation and returns a plain copy of their members.
 * A misspelt member is refused, not passed over: a context that was not bound would go unnoticed.
 */
export function requestOf<const Entries extends ObjectEntries>(
  entries: Entries,
): (request: unknown) => Accepted<Entries> {
  const schema = strictObject({ ...entries, ...COMMON_ENTRIES });
  return (request): Accepted<Entries> => {
    const result = safeParse(schema, request, { abortEarly: true });
    if (result.success) return result.output;
    throw refusalOf(result.issues[0], Object.keys(schema.entries));
  };
}

/** A key id or alias that may be left out. */
export const optionalText: ReturnType<typeof optional<ReturnType<typeof string>, undefined>> =
  optional(string());

/** An integer of a range, both ends included. */
export function integerFrom(minimum: number, maximum: number): GenericSchema<number> {
  const sentence = `expected an integer from ${minimum} to ${maximum}`;
  return pipe(number(), integer(sentence), minValue(minimum, sentence), maxValue(maximum, sentence));
}

function refusalOf(issue: BaseIssue<unknown>, members: readonly string[]): Error {
  const [first] = issue.path ?? [];
  if (first === undefined) return new TypeError(`request: expected an object, got ${kindOf(issue.input)}`);
  if (issue.type === "strict_object" && issue.expected === "never") {
    return unknownMember(pathOf(issue), members);
  }
  const name = pathOf(issue);
  if (issue.kind === "validation") return new InvalidArgumentError(`${name}: ${issue.message}`);
  if (issue.type === "picklist" && typeof issue.input === "string") {
    return new InvalidArgumentError(`${name}: expected ${issue.expected ?? "another value"}`);
  }
  if (issue.type === "strict_object" && issue.input === undefined) {
    return new TypeError(`${name}: required, and missing`);
  }
  return new TypeError(`${name}: expected ${article(issue.expected)}, got ${kindOf(issue.input)}`);
}

function unknownMember(name: string, members: readonly string[]): TypeError {
  const meant = members.find((member) => member.toLowerCase() === name.toLowerCase());
  const hint = meant === undefined ? `known are ${members.join(", ")}` : `did you mean ${meant}?`;
  return new TypeError(`${name}: no such member in this request; ${hint}`);
}

function pathOf({ path }: BaseIssue<unknown>): string {
  return [...(path ?? [])]
    .map(({ key }, index) =>
      typeof key === "number" ? `[${key}]` : `${index === 0 ? "" : "."}${String(key)}`,
    )
    .join("");
}

function article(expected: string | null): string {
  const name = expected ?? "another type";
  if (!/^[a-z]+$/iu.test(name)) return name;
  return `${/^[aeiou]/iu.test(name) ? "an" : "a"} ${name.toLowerCase()}`;
}

/** The type of a value, for a message. */
export function kindOf(value: unknown): string {
  if (value === null) return "null";
  if (Number.isNaN(value)) return "NaN";
  return Array.isArray(value) ? "an array" : typeof value;
}
