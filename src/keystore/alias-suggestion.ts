/**
 * The aliases that a misspelt one may have meant.
 * @module
 */

/** Aliases looked at: a suggestion is a courtesy, and must not read a whole large vault. */
const MAX_CANDIDATES = 2000;
const MAX_SUGGESTIONS = 3;

/** Returns up to three names that are at most a third of the name's length away, the nearest first. */
export function nearestAliases(aliasName: string, names: Iterable<string>): string[] {
  const limit = Math.max(1, Math.floor((aliasName.length - "alias/".length) / 3));
  const found: { readonly name: string; readonly distance: number }[] = [];
  let seen = 0;
  for (const name of names) {
    if (++seen > MAX_CANDIDATES) break;
    if (Math.abs(name.length - aliasName.length) > limit) continue;
    const distance = editDistance(aliasName.toLowerCase(), name.toLowerCase());
    if (distance <= limit) found.push({ name, distance });
  }
  found.sort((a, b) => a.distance - b.distance || (a.name < b.name ? -1 : 1));
  return found.slice(0, MAX_SUGGESTIONS).map(({ name }) => name);
}

/** Levenshtein's distance, one row at a time. */
function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const substituted = (previous[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      row.push(Math.min(substituted, (previous[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1));
    }
    previous = row;
  }
  return previous[b.length] ?? 0;
}
