/**
 * Compares long byte arrays in one step: element by element, as matchers do it, a megabyte takes seconds.
 * @module
 */
import { expect } from "vitest";

expect.addEqualityTesters([
  (a: unknown, b: unknown): boolean | undefined =>
    a instanceof Uint8Array && b instanceof Uint8Array && a.constructor === b.constructor
      ? Buffer.compare(a, b) === 0
      : undefined,
]);
