/**
 * Which contents and directories a name leads to: what is to be removed for good is looked up here first, as the list
 * of what to remove may be older than the names. Source: docs/format.md#store-garbage [F-245].
 * @module
 */
import { TABLES } from "../formats/records/tables.ts";
import type { VaultDatabase } from "../storage/vault-database.ts";

/** What the names of one moment lead to. */
export interface NamedIds {
  has(id: Uint8Array): boolean;
  /** True when no two names lead to one content or directory. */
  readonly areSingle: boolean;
}

/** Reads all entries. Those that do not open lead nowhere. @throws the signal's reason. @throws IoError. */
export async function gatherNamedIds(database: VaultDatabase, signal: AbortSignal): Promise<NamedIds> {
  const ids = new Set<string>();
  let areSingle = true;
  let sinceTurn = 0;
  for await (const { record } of database.records(TABLES.entries, Uint8Array.of(TABLES.entries))) {
    signal.throwIfAborted();
    if (record !== undefined) {
      const id = compact(record.id);
      if (ids.has(id)) areSingle = false;
      ids.add(id);
    }
    // Opening records is work: others have their turn.
    if (++sinceTurn % 64 === 0) await new Promise<void>((resolve) => setImmediate(resolve));
  }
  return { has: (id) => ids.has(compact(id)), areSingle };
}

/** Half of what hexadecimal digits would take: there may be many. */
function compact(id: Uint8Array): string {
  return Buffer.from(id.buffer, id.byteOffset, id.byteLength).toString("latin1");
}
