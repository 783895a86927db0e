/**
 * The aliases that a misspelt one may have meant.
 * @module
 */
import { distance } from "fastest-levenshtein";

/** Aliases looked at: a suggestion is a courtesy, and must not read a whole large vault. */
export const MAX_CANDIDATES = 2000;
const MAX_SUGGESTIONS = 3;

/** Returns up to three names that are at most a third of the name's length away, the nearest first. */
export function nearestAliases(aliasName: string, names: Iterable<string>): string[] {
  const limit = Math.max(1, Math.floor((aliasName.length - "alias/".length) / 3));
  const found: { readonly name: string; readonly edits: number }[] = [];
  let seen = 0;
  for (const name of names) {
    if (++seen > MAX_CANDIDATES) break;
    if (Math.abs(name.length - aliasName.length) > limit) continue;
    const edits = distance(aliasName.toLowerCase(), name.toLowerCase());
    if (edits <= limit) found.push({ name, edits });
  }
  found.sort((a, b) => a.edits - b.edits || (a.name < b.name ? -1 : 1));
  return found.slice(0, MAX_SUGGESTIONS).map(({ name }) => name);
}
