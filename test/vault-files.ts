/**
 * Cheap vaults for tests, and their files as bytes.
 * @module
 */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { passphraseWith } from "../src/keystore/slots/passphrase.ts";
import type { Unlocker } from "../src/keystore/slots/way-in.ts";
import { canary } from "./canary.ts";

/** A passphrase slot of 8 KiB and one pass: microseconds instead of half a second. */
export function cheapPassphrase(secret: string = canary("passphrase")): Unlocker {
  const cost = { memoryKiB: 8, passes: 1, lanes: 1 };
  return passphraseWith(secret, { cost, floor: cost });
}

/** Every file below a directory by its relative path, in hexadecimal; directories end in a slash. */
export async function treeOf(directory: string, below = ""): Promise<Map<string, string>> {
  const tree = new Map<string, string>();
  const entries = await readdir(join(directory, below), { withFileTypes: true });
  for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const path = join(below, entry.name);
    if (!entry.isDirectory()) {
      tree.set(path, (await readFile(join(directory, path))).toString("hex"));
      continue;
    }
    tree.set(`${path}/`, "");
    for (const [name, bytes] of await treeOf(directory, path)) tree.set(name, bytes);
  }
  return tree;
}
