/**
 * The first batch of a new vault's database.
 * @module
 */
import { recordKey } from "../formats/records/record-key.ts";
import { encodeRecord, TABLES } from "../formats/records/tables.ts";
import type { SessionKeys } from "./database-session.ts";
import { operationsOf, sealChanges, setsAfter } from "./sealed-change.ts";
import { SealedStore } from "./sealed-store.ts";
import type { Store } from "./store.ts";
import { ChangeSet, type RecordReader, type Transaction } from "./transaction.ts";

/** Sequence of the first batch; its header names it. */
export const FIRST_SEQUENCE = 1;
/** No header is durable before the first one. */
const NO_WITNESS = 0;
/** The audit chain begins with entry 0 and 32 zero bytes. */
const EMPTY_AUDIT = { first: 0, next: 0, base: new Uint8Array(32), head: new Uint8Array(32) };

const NOTHING: RecordReader = { get: () => undefined, keys: () => [] };

/** Writes what `plan` puts, and the state record, as one batch. The engine stays open. */
export async function fillNewDatabase(
  engine: Store,
  keys: SessionKeys,
  vaultId: Uint8Array,
  nowMs: number,
  plan: (transaction: Transaction) => void,
): Promise<void> {
  const store = new SealedStore(engine, keys.database, vaultId);
  try {
    const group = new ChangeSet(NOTHING, nowMs);
    group.plan(plan);
    const changes = sealChanges(group, store);
    const stateKey = recordKey.state();
    const state = encodeRecord(TABLES.state, {
      sequence: FIRST_SEQUENCE,
      witness: NO_WITNESS,
      time: nowMs,
      sets: setsAfter(new Map(), changes, keys.set, () => undefined),
      audit: EMPTY_AUDIT,
    });
    const value = store.seal(stateKey, state);
    await engine.write([...changes.flatMap(operationsOf), { type: "put", key: stateKey, value }]);
  } finally {
    store.forget();
  }
}
