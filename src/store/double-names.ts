/**
 * Names that lead to what another name leads to. An older record that came back makes them: the one from before a file or
 * directory was moved. Source: docs/format.md#store-verification [F-248].
 * @module
 */
import { hex } from "../bytes.ts";
import { TABLES } from "../formats/records/tables.ts";
import type { VaultDatabase } from "../storage/vault-database.ts";
import { ROOT_ID } from "./catalog.ts";

interface NamedId {
  /** Of the entry, in LevelDB. */
  readonly key: Uint8Array;
  readonly id: string;
}

/**
 * Returns LevelDB keys of entries that have one id, group by group. In each the one with the shortest path comes first,
 * and of those as short the one whose directory, and whose key, comes first; then all that no path leads to.
 * @throws the signal's reason. @throws IoError.
 */
export async function findDoubleNames(
  database: VaultDatabase,
  signal: AbortSignal | undefined,
): Promise<readonly (readonly Uint8Array[])[]> {
  const byDirectory = new Map<string, NamedId[]>();
  for await (const { key, record } of database.records(TABLES.entries, Uint8Array.of(TABLES.entries))) {
    signal?.throwIfAborted();
    if (record === undefined) continue;
    const dir = hex(record.dir);
    const names = byDirectory.get(dir) ?? [];
    names.push({ key, id: hex(record.id) });
    byDirectory.set(dir, names);
  }
  const byId = new Map<string, Uint8Array[]>();
  for (const { id, key } of nearestFirst(byDirectory)) {
    const keys = byId.get(id);
    if (keys === undefined) byId.set(id, [key]);
    else keys.push(key);
  }
  return [...byId.values()].filter((keys) => keys.length > 1);
}

/** Level by level from the topmost directory; each directory once, so that the first names alone make a tree. */
function* nearestFirst(byDirectory: ReadonlyMap<string, readonly NamedId[]>): Generator<NamedId> {
  const left = new Map(byDirectory);
  const reached = [hex(ROOT_ID)];
  for (const dir of reached) {
    const names = left.get(dir) ?? [];
    left.delete(dir);
    for (const name of names) {
      yield name;
      if (left.has(name.id)) reached.push(name.id);
    }
  }
  for (const names of left.values()) yield* names;
}
