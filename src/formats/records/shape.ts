/**
 * What a record may look like: strict shapes between CBOR values and plain objects. A field that is missing, unknown
 * or of another type or size is refused on both ways. Source: docs/format.md#records [F-83].
 * @module
 */
import { MalformedError } from "../../crypto/failures.ts";
import type { CborValue } from "../cbor.ts";

/** One type of value. Both ways throw `MalformedError` with the field's name for what does not fit. */
export interface Shape<T> {
  read(value: CborValue, field: string): T;
  write(value: T, field: string): CborValue;
}

/** A field that may be absent. */
export interface Optional<T> {
  readonly optional: Shape<T>;
}

/** The shapes of an object's fields: `optional(…)` for exactly those that its type may leave out. */
export type Fields<T extends object> = {
  readonly [Name in keyof T]-?: object extends Pick<T, Name>
    ? Optional<Exclude<T[Name], undefined>>
    : Shape<T[Name]>;
};

export function optional<T>(shape: Shape<T>): Optional<T> {
  return { optional: shape };
}

/** An integer from 0 to `maximum`. */
export function uint(maximum: number = Number.MAX_SAFE_INTEGER): Shape<number> {
  return scalar((value): value is number => typeof value === "number" && value >= 0 && value <= maximum);
}

/** Text of `minimum` to `maximum` UTF-8 bytes. */
export function text(maximum: number, minimum = 1): Shape<string> {
  return scalar((value): value is string => {
    if (typeof value !== "string") return false;
    const length = Buffer.byteLength(value);
    return length >= minimum && length <= maximum;
  });
}

/** A text that fulfils a rule. */
export function textThat(isAllowed: (value: string) => boolean): Shape<string> {
  return scalar((value): value is string => typeof value === "string" && isAllowed(value));
}

/** A byte string of `minimum` to `maximum` bytes; of exactly `maximum` unless told otherwise. */
export function bytes(maximum: number, minimum: number = maximum): Shape<Uint8Array> {
  return scalar(
    (value): value is Uint8Array =>
      value instanceof Uint8Array && value.length >= minimum && value.length <= maximum,
  );
}

export function flag(): Shape<boolean> {
  return scalar((value): value is boolean => typeof value === "boolean");
}

/** One of the given texts. */
export function oneOf<T extends string>(...choices: readonly T[]): Shape<T> {
  return scalar((value): value is T => (choices as readonly unknown[]).includes(value));
}

/** A map with exactly these fields. */
export function struct<T extends object>(fields: Fields<T>): Shape<T> {
  const named = Object.entries(fields) as [string, Shape<unknown> | Optional<unknown>][];
  return {
    read(value, field) {
      if (!(value instanceof Map)) throw new MalformedError(field);
      for (const name of (value as ReadonlyMap<string, CborValue>).keys()) {
        if (!Object.hasOwn(fields, name)) throw new MalformedError(field);
      }
      const record: Record<string, unknown> = {};
      for (const [name, shape] of named) {
        const item = (value as ReadonlyMap<string, CborValue>).get(name);
        if (item !== undefined) record[name] = shapeOf(shape).read(item, name);
        else if (!("optional" in shape)) throw new MalformedError(name);
      }
      return record as T;
    },
    write(record, field) {
      const map = new Map<string, CborValue>();
      for (const name of Object.keys(record)) {
        if (!Object.hasOwn(fields, name)) throw new MalformedError(`${field}.${name}`);
      }
      for (const [name, shape] of named) {
        const item = (record as Record<string, unknown>)[name];
        if (item !== undefined) map.set(name, shapeOf(shape).write(item, name));
        else if (!("optional" in shape)) throw new MalformedError(name);
      }
      return map;
    },
  };
}

function shapeOf(shape: Shape<unknown> | Optional<unknown>): Shape<unknown> {
  return "optional" in shape ? shape.optional : shape;
}

function scalar<T extends CborValue>(fits: (value: unknown) => value is T): Shape<T> {
  const check = (value: unknown, field: string): T => {
    if (!fits(value)) throw new MalformedError(field);
    return value;
  };
  return { read: check, write: check };
}
