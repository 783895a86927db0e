/**
 * The golden files: each is read as its sidecar says, and none was edited since it was made.
 * @module
 */
import { readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";

import { fromHex, fromUtf8, hex } from "../../src/bytes.ts";
import { AuthenticationError, MalformedError } from "../../src/crypto/failures.ts";
import { digest } from "../../src/crypto/hmac.ts";
import { DamagedError, isCofferError, WrongSecretError } from "../../src/errors.ts";
import { openBlob, type ParsedBlob, parseBlob } from "../../src/formats/blob.ts";
import { type CborValue, decodeCbor, encodeCbor } from "../../src/formats/cbor.ts";
import { decodeContext, encodeContext } from "../../src/formats/context.ts";
import { openSlot, type ParsedHeader, parseHeader, verifyHeaderMac } from "../../src/formats/header.ts";
import { blobKey, databaseKey, headerKey, recordNameKey } from "../../src/formats/key-schedule.ts";
import { normalizePassphrase } from "../../src/formats/passphrase-text.ts";
import { decodeRecoveryCode, type RecoveryCode } from "../../src/formats/recovery-code.ts";
import { assertOwnKey } from "../../src/formats/records/record-key.ts";
import { openRecord } from "../../src/formats/records/sealing.ts";
import { decodeRecord, type RecordTable } from "../../src/formats/records/tables.ts";

const FIXTURES = new URL("../../fixtures/", import.meta.url);

interface Sidecar {
  readonly expect: "success" | "format" | "authentication";
  readonly code?: string;
  readonly reason?: string;
  readonly field?: string;
  readonly [name: string]: unknown;
}

interface Fixture {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly sidecar: Sidecar;
}

function fixturesOf(format: string): Fixture[] {
  const folder = new URL(`${format}/v1/`, FIXTURES);
  const names = readdirSync(folder).filter((name) => name.endsWith(".bin"));
  return names.map((file) => {
    const name = file.slice(0, -".bin".length);
    const sidecar = JSON.parse(readFileSync(new URL(`${name}.json`, folder), "utf8")) as Sidecar;
    return { name, bytes: new Uint8Array(readFileSync(new URL(file, folder))), sidecar };
  });
}

const bytesOf = (sidecar: Sidecar, name: string): Uint8Array => fromHex(String(sidecar[name]));

/** Reads one file in two steps, each of which may refuse it; success must show what the sidecar says. */
interface Reader<T> {
  readonly parse: (bytes: Uint8Array, sidecar: Sidecar) => T;
  readonly open: (parsed: T, sidecar: Sidecar, bytes: Uint8Array) => void;
  /** What a refusal of each step is. Most formats are parsed before a key is used. */
  readonly refusals?: readonly [Sidecar["expect"], Sidecar["expect"]];
}

/** Returns what became of a file, in the terms of its sidecar. */
function outcome<T>({ parse, open, refusals }: Reader<T>, { bytes, sidecar }: Fixture): object {
  const [first, second] = refusals ?? ["format", "authentication"];
  let parsed: T;
  try {
    parsed = parse(bytes, sidecar);
  } catch (error) {
    return refusal(first, error);
  }
  try {
    open(parsed, sidecar, bytes);
  } catch (error) {
    return refusal(second, error);
  }
  return { expect: "success" };
}

function refusal(stage: Sidecar["expect"], error: unknown): object {
  if (error instanceof MalformedError) return { expect: stage };
  if (!isCofferError(error)) throw error;
  const { code, reason, details } = error;
  return { expect: stage, code, ...(reason !== undefined && { reason }), details };
}

/** The part of a sidecar that an outcome must show. */
function expected({ sidecar }: Fixture): object {
  const { expect: stage, code, reason, field } = sidecar;
  return {
    expect: stage,
    ...(code !== undefined && { code }),
    ...(reason !== undefined && { reason }),
    ...(field !== undefined && { details: { field } }),
  };
}

const contextReader: Reader<ReadonlyMap<string, string>> = {
  parse: decodeContext,
  open(pairs, sidecar, bytes) {
    expect([...pairs]).toEqual(sidecar["pairs"]);
    expect(encodeContext(Object.fromEntries(pairs))).toEqual(bytes);
  },
};

const blobReader: Reader<ParsedBlob> = {
  parse: parseBlob,
  open(parsed, sidecar) {
    const kenc = blobKey(bytesOf(sidecar, "material"), parsed.header.keyId, parsed.header.version);
    const context = encodeContext(sidecar["context"] as Record<string, string>);
    expect(hex(openBlob(kenc, parsed, context))).toBe(sidecar["plaintext"]);
    expect(hex(parsed.header.keyId)).toBe(sidecar["keyId"]);
    expect(parsed.header.version).toBe(sidecar["version"]);
  },
};

const headerReader: Reader<ParsedHeader> = {
  parse: parseHeader,
  open(parsed, sidecar) {
    openAsVault(parsed, sidecar);
    const { vaultId, generation, sequence, database, slots } = parsed;
    const kinds = slots.map(({ header }) => header.fields.kind);
    expect(sidecar).toMatchObject({ vaultId: hex(vaultId), generation, sequence, database, kinds });
  },
};

/** Answers as a vault does: every slot of a fixture has the same secret. */
function openAsVault(parsed: ParsedHeader, sidecar: Sidecar): void {
  for (const slot of parsed.slots) {
    let root: Uint8Array;
    try {
      root = openSlot(bytesOf(sidecar, "slotSecret"), parsed.vaultId, slot);
    } catch (error) {
      expect(error).toBeInstanceOf(AuthenticationError);
      throw new WrongSecretError("no slot opens", { cause: error });
    }
    expect(hex(root)).toBe(sidecar["root"]);
    if (!verifyHeaderMac(parsed, headerKey(root, parsed.vaultId))) throw new DamagedError("the MAC is wrong");
  }
}

const cborReader: Reader<CborValue> = {
  parse: decodeCbor,
  open(value, _, bytes) {
    expect(encodeCbor(value)).toEqual(bytes);
  },
};

const recordReader: Reader<Uint8Array> = {
  parse(value, sidecar) {
    const vaultId = bytesOf(sidecar, "vaultId");
    const kdb = databaseKey(bytesOf(sidecar, "root"), vaultId);
    return openRecord(kdb, vaultId, bytesOf(sidecar, "key"), value);
  },
  open(cbor, sidecar) {
    const table = sidecar["table"] as RecordTable;
    const kname = recordNameKey(bytesOf(sidecar, "root"), bytesOf(sidecar, "vaultId"));
    assertOwnKey(kname, table, bytesOf(sidecar, "key"), decodeRecord(table, cbor));
    expect(hex(cbor)).toBe(sidecar["cbor"]);
  },
  refusals: ["authentication", "format"],
};

const recoveryReader: Reader<RecoveryCode> = {
  parse: decodeRecoveryCode,
  open({ hint, key }, sidecar) {
    expect({ hint: hex(hint), key: hex(key) }).toEqual({ hint: sidecar["hint"], key: sidecar["key"] });
  },
};

const passphraseReader: Reader<Uint8Array> = {
  parse: (bytes) => normalizePassphrase(fromUtf8(bytes)),
  open(bytes, sidecar) {
    expect(hex(bytes)).toBe(sidecar["bytes"]);
  },
};

test.each(fixturesOf("context"))("context/$name reads as its sidecar says [F-20] [F-24]", (fixture) => {
  expect(outcome(contextReader, fixture)).toMatchObject(expected(fixture));
});

test.each(fixturesOf("blob"))(
  "blob/$name reads as its sidecar says [F-4] [F-40] [F-42] [F-43] [F-46]",
  (fixture) => {
    expect(outcome(blobReader, fixture)).toMatchObject(expected(fixture));
  },
);

test.each(fixturesOf("header"))(
  "header/$name reads as its sidecar says [F-4] [F-50] [F-52] [F-54]",
  (fixture) => {
    expect(outcome(headerReader, fixture)).toMatchObject(expected(fixture));
  },
);

test.each(fixturesOf("cbor"))("cbor/$name reads as its sidecar says [F-70] [F-71] [F-74]", (fixture) => {
  expect(outcome(cborReader, fixture)).toMatchObject(expected(fixture));
});

test.each(fixturesOf("record"))("record/$name reads as its sidecar says [F-80] [F-83] [F-86]", (fixture) => {
  expect(outcome(recordReader, fixture)).toMatchObject(expected(fixture));
});

test.each(fixturesOf("recovery-code"))(
  "recovery-code/$name reads as its sidecar says [F-90] [F-92]",
  (fixture) => {
    expect(outcome(recoveryReader, fixture)).toMatchObject(expected(fixture));
  },
);

test.each(fixturesOf("passphrase"))("passphrase/$name reads as its sidecar says [F-95] [F-96]", (fixture) => {
  expect(outcome(passphraseReader, fixture)).toMatchObject(expected(fixture));
});

test("no fixture was edited, and each is listed with its hash", () => {
  const lines = readFileSync(new URL("SHA256SUMS", FIXTURES), "utf8").trimEnd().split("\n");
  const listed = new Map(lines.map((line) => [line.slice(66), line.slice(0, 64)]));
  for (const [path, sum] of listed) {
    expect(hex(digest("sha256", readFileSync(new URL(path, FIXTURES)))), path).toBe(sum);
  }
  const present = readdirSync(FIXTURES, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => `${entry.parentPath}/${entry.name}`.replaceAll("\\", "/").replace(/^.*\/fixtures\//u, ""))
    .filter((path) => /\/v\d+\//u.test(path));
  expect(present.toSorted()).toEqual([...listed.keys()].toSorted());
});
