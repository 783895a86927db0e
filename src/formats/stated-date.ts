/**
 * Times of headers that nobody has authenticated yet.
 * @module
 */
/** The last moment that a `Date` can be, in the year 275760. */
const MAX_DATE_MS = 8.64e15;

/**
 * Returns the moment that a file states, in ms since 1970; the last one there is for what lies beyond. Always valid, so
 * that no text made of it throws.
 */
export function statedDate(ms: number): Date {
  return new Date(Math.min(ms, MAX_DATE_MS));
}
