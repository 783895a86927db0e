/**
 * Finds the public test vectors: the folder `shared/vectors` beside the repository. Where it is absent, suites run
 * this project's own golden fixtures alone, and one line a file says what did not run.
 * @module
 */
import { existsSync, readFileSync } from "node:fs";

const FOLDER = new URL("../../shared/vectors/", import.meta.url);
const named = new Set<string>();

/** Returns the parsed JSON of e.g. `wycheproof/aes_gcm_test.json`, or `undefined` (and says so) if it is absent. */
export function vectors(path: string): unknown {
  const text = vectorText(path);
  return text === undefined ? undefined : JSON.parse(text);
}

/** Returns a vector file as text, white space trimmed, or `undefined` (and says so) if it is absent. */
export function vectorText(path: string): string | undefined {
  const file = new URL(path, FOLDER);
  if (existsSync(file)) return readFileSync(file, "utf8").trim();
  if (!named.has(path)) {
    named.add(path);
    console.warn(`public vectors not run: ${path} (no shared/vectors beside the repository)`);
  }
  return undefined;
}

/** Returns the parsed JSON of a golden fixture of this project, e.g. `crypto/seal.json`. */
export function fixture(path: string): unknown {
  return JSON.parse(readFileSync(new URL(`../fixtures/${path}`, import.meta.url), "utf8"));
}
