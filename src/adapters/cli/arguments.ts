/**
 * What was typed after `coffer COMMAND`: options and positional arguments, checked against what the command takes.
 * Messages name options, never values: a secret may have been typed by mistake.
 * @module
 */
import { parseArgs, type ParseArgsConfig } from "node:util";

/** An option, by its long name. */
export interface OptionSpec {
  readonly help: string;
  /** What its value is called; absent for a flag. */
  readonly value?: string;
  readonly short?: string;
  readonly isRepeatable?: boolean;
  /** Its value names a file, and `-` means standard input. */
  readonly readsFile?: boolean;
}

/** A positional argument. */
export interface PositionalSpec {
  readonly name: string;
  readonly help: string;
  readonly isOptional?: boolean;
  /** It names a file; `-`, or none, means standard input. */
  readonly readsFile?: boolean;
}

/** What a command takes. */
export interface ArgumentSpec {
  readonly options: Readonly<Record<string, OptionSpec>>;
  readonly positionals: readonly PositionalSpec[];
}

/** A command line that cannot be meant: exit 2. */
export class UsageError extends Error {
  readonly code = "USAGE";
}

/** Names that people try; a secret in an argument is seen by every user of the machine and kept in the history. */
const SECRET_OPTIONS: ReadonlySet<string> = new Set(["passphrase", "password", "recovery-code", "pin"]);

/** Checked arguments of one command. */
export class Arguments {
  readonly #values: ReadonlyMap<string, readonly string[]>;
  readonly #positionals: readonly string[];

  constructor(values: ReadonlyMap<string, readonly string[]>, positionals: readonly string[]) {
    this.#values = values;
    this.#positionals = positionals;
  }

  /** True when the flag, or the option, is there. */
  has(option: string): boolean {
    return this.#values.has(option);
  }

  /** The value of an option that is given once at most. */
  text(option: string): string | undefined {
    return this.#values.get(option)?.[0];
  }

  /** All values of a repeatable option. */
  all(option: string): readonly string[] {
    return this.#values.get(option) ?? [];
  }

  /** @throws UsageError when the option is missing. */
  required(option: string, example: string): string {
    const value = this.text(option);
    if (value === undefined)
      throw new UsageError(`--${option} is missing, for example --${option} ${example}`);
    return value;
  }

  /** An integer of a range. @throws UsageError */
  integer(option: string, minimum: number, maximum: number): number | undefined {
    const text = this.text(option);
    if (text === undefined) return undefined;
    const value = /^\d{1,15}$/u.test(text) ? Number(text) : Number.NaN;
    if (value >= minimum && value <= maximum) return value;
    throw new UsageError(`--${option} takes a whole number from ${minimum} to ${maximum}`);
  }

  /** The values of a repeatable option `--NAME K=V`, split at the first `=`. @throws UsageError */
  pairs(option: string): readonly (readonly [name: string, value: string])[] {
    const pairs = this.all(option).map((text) => {
      const at = text.indexOf("=");
      if (at < 1)
        throw new UsageError(`--${option} takes NAME=VALUE, for example --${option} purpose=backup`);
      return [text.slice(0, at), text.slice(at + 1)] as const;
    });
    if (new Set(pairs.map(([name]) => name)).size === pairs.length) return pairs;
    throw new UsageError(`--${option} is given twice for one name`);
  }

  /** A positional argument that the command requires. */
  positional(index: number): string {
    const value = this.#positionals[index];
    if (value === undefined)
      throw new TypeError(`positional: expected argument ${index}, which is optional here`);
    return value;
  }

  optionalPositional(index: number): string | undefined {
    return this.#positionals[index];
  }
}

/**
 * Parses what follows the command's name.
 * @throws UsageError
 */
export function parseArguments(spec: ArgumentSpec, argv: readonly string[]): Arguments {
  const { tokens } = parseArgs({
    args: [...argv],
    options: parserOptions(spec),
    strict: false,
    tokens: true,
  });
  const values = new Map<string, string[]>();
  const positionals: string[] = [];
  for (const token of tokens) {
    if (token.kind === "positional") positionals.push(token.value);
    if (token.kind !== "option") continue;
    const option = optionOf(spec, token.name, token.rawName);
    assertValue(option, token);
    const earlier = values.get(token.name) ?? [];
    if (earlier.length > 0 && option.isRepeatable !== true)
      throw new UsageError(`--${token.name} is given twice`);
    values.set(token.name, [...earlier, token.value ?? ""]);
  }
  // Help is given for an incomplete line as well.
  if (!values.has("help")) {
    assertCount(spec.positionals, positionals.length);
    assertOneStandardInput(spec, values, positionals);
  }
  return new Arguments(values, positionals);
}

function parserOptions({ options }: ArgumentSpec): NonNullable<ParseArgsConfig["options"]> {
  return Object.fromEntries(
    Object.entries(options).map(([name, { value, short }]) => [
      name,
      {
        type: value === undefined ? "boolean" : "string",
        multiple: true,
        ...(short !== undefined && { short }),
      },
    ]),
  );
}

function optionOf({ options }: ArgumentSpec, name: string, rawName: string): OptionSpec {
  const option = Object.hasOwn(options, name) ? options[name] : undefined;
  if (option !== undefined) return option;
  if (SECRET_OPTIONS.has(name)) {
    throw new UsageError(
      `--${name}: a secret is never taken from an argument, which others can see; use --passphrase-file FILE, --recovery-code-file FILE, or for a token --module PATH and --pin-file FILE`,
    );
  }
  // A short option may be the first letter of something that was not meant as one.
  const shown = /^--[a-z][a-z0-9-]{0,30}$/u.test(rawName) ? `unknown option ${rawName}` : "unknown option";
  const nearest = nearestName(name, Object.keys(options));
  throw new UsageError(nearest === undefined ? shown : `${shown}; did you mean --${nearest}?`);
}

interface OptionToken {
  readonly name: string;
  readonly value: string | undefined;
  readonly inlineValue: boolean | undefined;
}

function assertValue(option: OptionSpec, { name, value, inlineValue }: OptionToken): void {
  if (option.value === undefined) {
    if (value !== undefined) throw new UsageError(`--${name} takes no value`);
    return;
  }
  if (value === undefined || value === "")
    throw new UsageError(`--${name} needs a value: --${name} ${option.value}`);
  if (inlineValue !== true && value.length > 1 && value.startsWith("-")) {
    throw new UsageError(
      `--${name} needs a value: --${name} ${option.value}, or --${name}=${option.value} where it begins with a hyphen`,
    );
  }
}

function assertCount(specs: readonly PositionalSpec[], count: number): void {
  const missing = specs.slice(count).find(({ isOptional }) => isOptional !== true);
  if (missing !== undefined) throw new UsageError(`${missing.name} is missing: ${missing.help}`);
  if (count > specs.length) {
    throw new UsageError(
      `expected ${specs.length === 0 ? "no" : `at most ${specs.length}`} argument, got ${count}`,
    );
  }
}

function assertOneStandardInput(
  spec: ArgumentSpec,
  values: ReadonlyMap<string, readonly string[]>,
  positionals: readonly string[],
): void {
  const options = Object.entries(spec.options)
    .filter(([name, { readsFile }]) => readsFile === true && values.get(name)?.includes("-") === true)
    .map(([name]) => `--${name}`);
  const names = spec.positionals
    .filter(({ readsFile }, index) => readsFile === true && (positionals[index] ?? "-") === "-")
    .map(({ name }) => name);
  const users = [...options, ...names];
  if (users.length < 2) return;
  throw new UsageError(`${users.join(" and ")} cannot both be standard input; give a file for one of them`);
}

/** Returns the name within two typing errors of `name`, if there is one. */
export function nearestName(name: string, names: readonly string[]): string | undefined {
  const ranked = names
    .map((candidate) => ({ candidate, distance: editDistance(name, candidate) }))
    .toSorted((a, b) => a.distance - b.distance);
  const [best] = ranked;
  return best !== undefined && best.distance <= Math.min(2, name.length / 2) ? best.candidate : undefined;
}

/** Levenshtein's distance; both are short. */
function editDistance(a: string, b: string): number {
  if (Math.abs(a.length - b.length) > 2) return Number.POSITIVE_INFINITY;
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const [left = 0, above = 0, corner = 0] = [next[j - 1], row[j], row[j - 1]];
      next.push(Math.min(left + 1, above + 1, corner + (a[i - 1] === b[j - 1] ? 0 : 1)));
    }
    row = next;
  }
  return row[b.length] ?? Number.POSITIVE_INFINITY;
}
