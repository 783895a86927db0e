/**
 * One record of every table, with every optional field.
 * @module
 */
import type { RecordTable, TableRecords } from "../../../src/formats/records/tables.ts";
import { counting } from "../changed-bytes.ts";

const id = counting(0xc0, 16);
const time = 1_700_000_000_000;

export const records: { readonly [T in RecordTable]: TableRecords[T] } = {
  0x01: {
    sequence: 42,
    witness: 7,
    time,
    leap: time + 1,
    sets: new Map([
      [0x02, { count: 1, sum: counting(1, 32) }],
      [0x0b, { count: 2, sum: counting(2, 32) }],
    ]),
    audit: { first: 0, next: 3, base: new Uint8Array(32), head: counting(3, 32) },
  },
  0x02: {
    id,
    created: time,
    description: "Apollo's key",
    spec: "SYMMETRIC_DEFAULT",
    usage: "ENCRYPT_DECRYPT",
    origin: "AWS_KMS",
    state: "PendingDeletion",
    version: 3,
    fingerprintKey: counting(4, 32),
    onDemand: 2,
    protected: true,
    exportable: false,
    deleteAt: time + 2,
    window: 30,
    rotateEvery: 31_536_000_000,
    rotateAt: time + 3,
  },
  0x03: {
    id,
    version: 3,
    created: time,
    kind: "on-demand",
    materialId: counting(5, 32),
    expires: time + 4,
    spki: counting(6, 91),
    sealed: counting(7, 104),
  },
  0x04: { name: "alias/Apollo/WorkKey", keyId: id, created: time, updated: time + 1 },
  0x05: { id, key: "Größe", value: "" },
  0x06: { id, what: "rotate", at: time },
  0x0a: { name: "vault", created: time, account: "000000000000" },
  0x0b: { id, created: time, deleted: time + 1 },
  0x20: {
    dir: new Uint8Array(16),
    name: "Größe.txt",
    kind: "file",
    id,
    size: 5,
    created: time,
    modified: time + 1,
    blob: counting(8, 109),
    metadata: counting(9, 20),
  },
  0x21: { id, length: 2 ** 40, headerTag: counting(10, 32) },
  0x22: { id, kind: "directory" },
  0x31: { id, operation: "Encrypt", time },
};

export const tables: readonly RecordTable[] = Object.keys(records).map(Number) as RecordTable[];
