/**
 * Writes the golden files of the formats: `fixtures/<format>/v1/<name>.bin` with a sidecar `<name>.json`, and their
 * hashes into fixtures/SHA256SUMS. Runs on the built package (`npm run build` first). Every value is fixed, seals
 * take given salts, so a run gives the same bytes on every machine. Files that exist are never touched: a released
 * format is read for ever, and a later release only adds files.
 *
 * Sidecar: `expect` is `success`, `format` (found without a key), or `authentication` (found with one); `code` and
 * `reason` are those of the error; the other fields are what a reader needs, bytes in hexadecimal.
 */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";

import { createFloeWithIv } from "../dist/crypto/floe.js";
import { FloeSegments } from "../dist/crypto/floe-segments.js";
import { sealWithSalt } from "../dist/crypto/seal.js";
import { sealBlob } from "../dist/formats/blob.js";
import { encodeCbor } from "../dist/formats/cbor.js";
import { encodeContext } from "../dist/formats/context.js";
import { encodeFileHead } from "../dist/formats/file.js";
import { encodeHeader } from "../dist/formats/header.js";
import { blobEntry, encodeKeyArea } from "../dist/formats/key-area.js";
import * as keys from "../dist/formats/key-schedule.js";
import { crc24, encodeRecoveryCode } from "../dist/formats/recovery-code.js";
import { recordKey } from "../dist/formats/records/record-key.js";
import { encodeRecord } from "../dist/formats/records/tables.js";
import { encodeSlotHeader } from "../dist/formats/slot-header.js";

const FIXTURES = new URL("../fixtures/", import.meta.url);
const SUMS = new URL("SHA256SUMS", FIXTURES);

const utf8 = (text) => new Uint8Array(Buffer.from(text));
const hex = (bytes) => Buffer.from(bytes).toString("hex");
const concat = (...parts) => new Uint8Array(Buffer.concat(parts.map((part) => Uint8Array.from(part))));
const counting = (start, length) => Uint8Array.from({ length }, (_, i) => start + i);
const sha256 = (bytes) => createHash("sha256").update(bytes).digest();
const changed = (bytes, at, ...values) => {
  const copy = new Uint8Array(bytes);
  copy.set(values, at < 0 ? bytes.length + at : at);
  return copy;
};
const flipped = (bytes, at) => changed(bytes, at, bytes.at(at) ^ 1);

const root = counting(0, 32);
const vaultId = counting(0xa0, 16);
const keyId = counting(0xc0, 16);
const time = 1_700_000_000_000;
const salt = (number) => new Uint8Array(24).fill(number);

let written = 0;

function fixture(format, name, bytes, sidecar) {
  const folder = new URL(`${format}/v1/`, FIXTURES);
  mkdirSync(folder, { recursive: true });
  const files = [
    [new URL(`${name}.bin`, folder), bytes],
    [new URL(`${name}.json`, folder), `${JSON.stringify(sidecar, undefined, 2)}\n`],
  ];
  if (files.some(([file]) => existsSync(file))) return;
  for (const [file, content] of files) writeFileSync(file, content, { flag: "wx" });
  written += 1;
}

const success = (fields) => ({ expect: "success", ...fields });
const malformed = (code, reason, fields) => ({ expect: "format", code: `COFFER_${code}`, reason, ...fields });
const unopened = (code, fields) => ({ expect: "authentication", code: `COFFER_${code}`, ...fields });

function contexts() {
  const good = encodeContext({ Zürich: "ü", app: "Apollo", "": "", "\u{1F511}": "x", "\uFF5E": "y" });
  const pairs = [
    ["", ""],
    ["Zürich", "ü"],
    ["app", "Apollo"],
    ["\uFF5E", "y"],
    ["\u{1F511}", "x"],
  ].sort(([a], [b]) => Buffer.compare(utf8(a), utf8(b)));
  fixture("context", "pairs", good, success({ pairs }));
  fixture("context", "empty", encodeContext({}), success({ pairs: [] }));
  fixture(
    "context",
    "proto_key",
    encodeContext(JSON.parse('{"__proto__":"x"}')),
    success({ pairs: [["__proto__", "x"]] }),
  );
  const bad = { expect: "format" };
  const entry = (key, value) => concat([0, key.length], key, [0, value.length], value);
  fixture("context", "cut", good.subarray(0, -1), bad);
  fixture("context", "byte_after_end", concat(good, [0]), bad);
  fixture(
    "context",
    "keys_out_of_order",
    concat([0, 2], entry(utf8("b"), utf8("")), entry(utf8("a"), utf8(""))),
    bad,
  );
  fixture(
    "context",
    "key_twice",
    concat([0, 2], entry(utf8("a"), utf8("1")), entry(utf8("a"), utf8("2"))),
    bad,
  );
  fixture("context", "not_utf8", concat([0, 1], entry(Uint8Array.of(0xff), utf8(""))), bad);
  fixture(
    "context",
    "65_pairs",
    concat([0, 65], ...Array.from({ length: 65 }, (_, i) => entry(Uint8Array.of(48 + i), utf8("")))),
    bad,
  );
}

function blobs() {
  const context = { app: "Apollo" };
  const header = { keyId, version: 1, vaultHint: keys.vaultHint(vaultId) };
  const given = { material: hex(root), vaultId: hex(vaultId), context };
  const make = (plaintext, used = context) => {
    const kenc = keys.blobKey(root, keyId, 1);
    // sealBlob draws a salt; only its header is taken.
    const headerBytes = sealBlob(kenc, header, utf8(""), utf8("")).subarray(0, 32);
    return concat(
      headerBytes,
      sealWithSalt(kenc, salt(1), keys.blobContext(headerBytes, encodeContext(used)), plaintext),
    );
  };
  const good = make(utf8("WorkKey"));
  fixture(
    "blob",
    "workkey",
    good,
    success({ ...given, keyId: hex(keyId), version: 1, plaintext: hex(utf8("WorkKey")) }),
  );
  fixture(
    "blob",
    "empty_plaintext",
    make(utf8("")),
    success({ ...given, keyId: hex(keyId), version: 1, plaintext: "" }),
  );
  fixture(
    "blob",
    "no_context",
    make(utf8("x"), {}),
    success({ ...given, context: {}, keyId: hex(keyId), version: 1, plaintext: "78" }),
  );
  fixture("blob", "unknown_version", changed(good, 3, 2), malformed("UNSUPPORTED_FORMAT", undefined, given));
  fixture("blob", "unknown_suite", changed(good, 4, 2), malformed("UNSUPPORTED_FORMAT", undefined, given));
  fixture("blob", "flag_set", changed(good, 5, 1), malformed("INVALID_CIPHERTEXT", "reserved", given));
  fixture(
    "blob",
    "reserved_not_zero",
    changed(good, 7, 1),
    malformed("INVALID_CIPHERTEXT", "reserved", given),
  );
  fixture("blob", "cut_below_overhead", good.subarray(0, 103), malformed("INVALID_CIPHERTEXT", "cut", given));
  fixture(
    "blob",
    "too_long",
    concat(good.subarray(0, 32), new Uint8Array(16_456)),
    malformed("INVALID_CIPHERTEXT", "too-long", given),
  );
  fixture(
    "blob",
    "coffer_file",
    concat([0x89], utf8("COF\r\n\u001a\n")),
    malformed("INVALID_CIPHERTEXT", "coffer-file", given),
  );
  fixture(
    "blob",
    "age_file",
    utf8("age-encryption.org/v1\n-> X25519 "),
    malformed("INVALID_CIPHERTEXT", "age", given),
  );
  fixture(
    "blob",
    "base64_text",
    utf8(Buffer.from(good).toString("base64")),
    malformed("INVALID_CIPHERTEXT", "base64-text", given),
  );
  fixture(
    "blob",
    "other_magic",
    changed(good, 2, 0x43),
    malformed("INVALID_CIPHERTEXT", "not-a-blob", given),
  );
  const fails = unopened("INVALID_CIPHERTEXT", given);
  fixture("blob", "other_key_id", flipped(good, 8), fails);
  fixture("blob", "other_version_number", flipped(good, 27), fails);
  fixture("blob", "other_hint", flipped(good, 28), fails);
  fixture("blob", "changed_salt", flipped(good, 32), fails);
  fixture("blob", "changed_commitment", flipped(good, 56), fails);
  fixture("blob", "changed_ciphertext", flipped(good, 88), fails);
  fixture("blob", "changed_tag", flipped(good, -1), fails);
  fixture("blob", "byte_missing", good.subarray(0, -1), fails);
  fixture("blob", "byte_after_end", concat(good, [0]), fails);
  fixture(
    "blob",
    "other_context",
    good,
    unopened("INVALID_CIPHERTEXT", { ...given, context: { app: "apollo" } }),
  );
  fixture(
    "blob",
    "other_material",
    good,
    unopened("INVALID_CIPHERTEXT", { ...given, material: hex(counting(1, 32)) }),
  );
}

const passphrase = { kind: "passphrase", memoryKiB: 65_536, passes: 3, lanes: 4, salt: counting(0x60, 32) };
const token = {
  kind: "pkcs11",
  algorithm: "ecdh-p256",
  spki: counting(0x30, 91),
  objectId: Uint8Array.of(3),
  label: "PIV #123",
  serial: "12345678",
  manufacturer: "Yubico",
  model: "YubiKey YK5",
  exchange: counting(4, 65),
};
const slotSecret = counting(0x40, 32);

function slotOf(headerBytes, number, label) {
  const kek = keys.slotKek(slotSecret, vaultId, headerBytes.subarray(2, 18));
  const sealed = sealWithSalt(kek, salt(number), keys.slotContext(vaultId, headerBytes), root);
  return { headerBytes, sealed, label };
}

function headers() {
  const given = { root: hex(root), slotSecret: hex(slotSecret) };
  const kinds = [
    passphrase,
    { kind: "recovery" },
    token,
    { kind: "combined", first: passphrase, second: token },
    { kind: "keychain", backend: "gnome-libsecret", protectedSecret: counting(1, 40) },
  ];
  const slots = kinds.map((fields, i) => {
    const id = new Uint8Array(16).fill(0xb0 + i);
    return slotOf(encodeSlotHeader({ id, createdAtMs: time, fields }), i + 1, `${fields.kind} slot`);
  });
  const kheader = keys.headerKey(root, vaultId);
  const fields = { vaultId, generation: 7, sequence: 42, database: 3 };
  const facts = { ...given, vaultId: hex(vaultId), generation: 7, sequence: 42, database: 3 };
  const good = encodeHeader({ ...fields, slots }, kheader);
  fixture("header", "every_slot_kind", good, success({ ...facts, kinds: kinds.map(({ kind }) => kind) }));
  const later = slotOf(
    concat([9, 0], new Uint8Array(16).fill(9), new Uint8Array(8), counting(0, 20)),
    9,
    "later",
  );
  fixture(
    "header",
    "unknown_slot_kind",
    encodeHeader({ ...fields, slots: [slots[1], later] }, kheader),
    success({ ...facts, kinds: ["recovery", "unknown"] }),
  );
  const summed = (bytes) => concat(bytes.subarray(0, -32), sha256(bytes.subarray(0, -32)));
  const one = encodeHeader({ ...fields, slots: [slots[1]] }, kheader);
  const damaged = (field) => malformed("DAMAGED", "header", { ...given, field });
  fixture("header", "checksum_wrong", flipped(one, 100), damaged("checksum"));
  fixture("header", "version_bit_rotten", flipped(one, 8), damaged("checksum"));
  fixture("header", "magic_wrong", flipped(one, 0), damaged("magic"));
  fixture("header", "cut", one.subarray(0, -1), damaged("length"));
  fixture("header", "byte_after_end", concat(one, [0]), damaged("length"));
  fixture(
    "header",
    "later_version",
    summed(changed(one, 8, 2)),
    malformed("UNSUPPORTED_FORMAT", undefined, given),
  );
  fixture(
    "header",
    "other_suite",
    summed(changed(one, 9, 2)),
    malformed("UNSUPPORTED_FORMAT", undefined, given),
  );
  fixture("header", "reserved_not_zero", summed(changed(one, 54, 1)), damaged("reserved bytes"));
  fixture(
    "header",
    "generation_unsafe",
    summed(changed(one, 32, 0, 0x20)),
    damaged("generation or sequence"),
  );
  fixture("header", "no_slots", summed(changed(one, 52, 0, 0)), damaged("slot count"));
  fixture("header", "17_slots", summed(changed(one, 52, 0, 17)), damaged("slot count"));
  fixture("header", "slot_cut", summed(changed(one, 52, 0, 2)), damaged("slot length"));
  fixture(
    "header",
    "slot_id_twice",
    encodeHeader({ ...fields, slots: [slots[1], slots[1]] }, kheader),
    damaged("slot id"),
  );
  fixture("header", "label_not_utf8", summed(changed(one, 64 + 2 + 26 + 104 + 1, 0xff)), damaged("label"));
  fixture("header", "mac_wrong", summed(flipped(one, -96)), unopened("DAMAGED", given));
  fixture("header", "generation_edited", summed(changed(one, 39, 6)), unopened("DAMAGED", given));
  fixture(
    "header",
    "label_edited",
    summed(changed(one, 64 + 2 + 26 + 104 + 1, 0x52)),
    unopened("DAMAGED", given),
  );
  fixture("header", "slot_header_edited", summed(flipped(one, 64 + 2 + 25)), unopened("WRONG_SECRET", given));
  fixture(
    "header",
    "sealed_root_edited",
    summed(flipped(one, 64 + 2 + 26 + 80)),
    unopened("WRONG_SECRET", given),
  );
  fixture(
    "header",
    "other_slot_secret",
    one,
    unopened("WRONG_SECRET", { ...given, slotSecret: hex(counting(0x41, 32)) }),
  );
}

function cbor() {
  const value = new Map([
    ["name", "alias/Apollo"],
    ["created", time],
    [
      "list",
      [0, 23, 24, 255, 256, 65_535, 65_536, 2 ** 32 - 1, 2 ** 32, Number.MAX_SAFE_INTEGER, true, false],
    ],
    ["bytes", counting(0, 24)],
    ["__proto__", new Map([["ü", ""]])],
  ]);
  fixture("cbor", "every_type", encodeCbor(value), success({}));
  const bad = {
    indefinite_array: "9f00ff",
    key_twice: "a2616100616101",
    keys_out_of_order: "a2616200616101",
    longer_key_first: "a262616100616201",
    head_not_shortest: "1817",
    above_2_53: "1b0020000000000000",
    negative: "20",
    tag: "c100",
    null: "f6",
    float: "f93c00",
    key_not_text: "a10000",
    not_utf8: "61ff",
    depth_5: "818181818100",
    array_of_2_32: "9affffffff",
    bytes_of_2_32: "5b0000000100000000",
    two_items: "0000",
    cut: "6261",
  };
  for (const [name, bytes] of Object.entries(bad))
    fixture("cbor", name, Buffer.from(bytes, "hex"), { expect: "format" });
}

function records() {
  const kname = keys.recordNameKey(root, vaultId);
  const kdb = keys.databaseKey(root, vaultId);
  const given = { root: hex(root), vaultId: hex(vaultId) };
  const id = keyId;
  const samples = [
    [
      0x01,
      recordKey.state(),
      {
        sequence: 42,
        witness: 7,
        time,
        leap: time + 1,
        sets: new Map([
          [2, { count: 1, sum: counting(1, 32) }],
          [11, { count: 2, sum: counting(2, 32) }],
        ]),
        audit: { first: 0, next: 0, base: new Uint8Array(32), head: new Uint8Array(32) },
      },
    ],
    [
      0x02,
      recordKey.key(kname, id),
      {
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
    ],
    [
      0x03,
      recordKey.version(kname, id, 3),
      {
        id,
        version: 3,
        created: time,
        kind: "on-demand",
        materialId: counting(5, 32),
        expires: time + 4,
        spki: counting(6, 91),
        sealed: counting(7, 104),
      },
    ],
    [
      0x04,
      recordKey.alias(kname, "alias/Apollo/WorkKey"),
      { name: "alias/Apollo/WorkKey", keyId: id, created: time, updated: time + 1 },
    ],
    [0x05, recordKey.tag(kname, id, "Größe"), { id, key: "Größe", value: "" }],
    [0x06, recordKey.due(kname, id, "rotate"), { id, what: "rotate", at: time }],
    [0x0a, recordKey.setting(kname, "vault"), { name: "vault", created: time, account: "000000000000" }],
    [0x0b, recordKey.tombstone(kname, id), { id, created: time, deleted: time + 1 }],
    [
      0x20,
      recordKey.entry(kname, new Uint8Array(16), "Größe.txt"),
      {
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
    ],
    [0x21, recordKey.content(kname, id), { id, length: 2 ** 40, headerTag: counting(10, 32) }],
    [0x22, recordKey.garbage(kname, id), { id, kind: "directory" }],
    [0x31, recordKey.usage(kname, id), { id, operation: "Encrypt", time }],
  ];
  const sealFor = (key, bytes, number) =>
    sealWithSalt(kdb, salt(number), keys.recordContext(vaultId, key), bytes);
  for (const [table, key, record] of samples) {
    const bytes = encodeRecord(table, record);
    fixture(
      "record",
      `table_${hex([table])}`,
      sealFor(key, bytes, table),
      success({ ...given, table, key: hex(key), cbor: hex(bytes) }),
    );
  }
  const [, key, record] = samples[3];
  const good = encodeRecord(4, record);
  const sealed = sealFor(key, good, 4);
  const fails = unopened("DAMAGED", { reason: "record", ...given, table: 4, key: hex(key) });
  fixture("record", "changed_commitment", flipped(sealed, 24), fails);
  fixture("record", "changed_tag", flipped(sealed, -1), fails);
  fixture("record", "cut", sealed.subarray(0, 71), fails);
  fixture(
    "record",
    "other_key",
    sealed,
    unopened("DAMAGED", { reason: "record", ...given, table: 4, key: hex(flipped(key, -1)) }),
  );
  fixture(
    "record",
    "other_vault",
    sealed,
    unopened("DAMAGED", {
      reason: "record",
      ...given,
      vaultId: hex(counting(0xa1, 16)),
      table: 4,
      key: hex(key),
    }),
  );
  const inside = (name, bytes) =>
    fixture(
      "record",
      name,
      sealFor(key, bytes, 4),
      malformed("DAMAGED", "record", { ...given, table: 4, key: hex(key) }),
    );
  const map = (entries) => encodeCbor(new Map(entries));
  const entries = Object.entries(record);
  inside("field_missing", map(entries.filter(([name]) => name !== "created")));
  inside("field_unknown", map([...entries, ["extra", 1]]));
  inside("field_mistyped", map([...entries.filter(([name]) => name !== "created"), ["created", "now"]]));
  inside("byte_after_cbor", concat(good, [0]));
  inside("names_another", encodeRecord(4, Object.assign({}, record, { name: "alias/Apollo/OtherKey" })));
}

function recoveryCodes() {
  const hint = keys.vaultHint(vaultId);
  const code = encodeRecoveryCode(hint, root);
  const fields = { hint: hex(hint), key: hex(root) };
  fixture("recovery-code", "worked", utf8(code), success(fields));
  fixture(
    "recovery-code",
    "lower_case_with_spaces",
    utf8(` ${code.toLowerCase().replaceAll("-", " ")}\n`),
    success(fields),
  );
  fixture(
    "recovery-code",
    "look_alike_letters",
    utf8(code.replaceAll("0", "O").replaceAll("1", "l")),
    success(fields),
  );
  const typo = malformed("INVALID_ARGUMENT", "typo", {});
  fixture("recovery-code", "wrong_character", utf8(code.replace("T", "V")), typo);
  fixture("recovery-code", "letter_u", utf8(code.replace("T", "U")), typo);
  fixture("recovery-code", "neighbours_swapped", utf8(code.replace("TG", "GT")), typo);
  fixture("recovery-code", "cut", utf8(code.slice(0, -1)), typo);
  fixture("recovery-code", "one_more", utf8(`${code}0`), typo);
  const body = concat([2], hint, root);
  const crc = crc24(body);
  const bits = [...concat(body, [crc >> 16, (crc >> 8) & 255, crc & 255])]
    .map((byte) => byte.toString(2).padStart(8, "0"))
    .join("");
  const later = bits
    .match(/.{5}/gu)
    .map((five) => "0123456789ABCDEFGHJKMNPQRSTVWXYZ"[Number.parseInt(five, 2)])
    .join("");
  fixture("recovery-code", "later_version", utf8(later), malformed("UNSUPPORTED_FORMAT", undefined, {}));
}

function passphrases() {
  fixture("passphrase", "decomposed", utf8("cafe\u0301"), success({ bytes: "636166c3a9" }));
  fixture("passphrase", "ideographic_space", utf8("a\u3000b"), success({ bytes: "612062" }));
  fixture("passphrase", "spaces_kept", utf8(" A "), success({ bytes: "204120" }));
  fixture("passphrase", "line_break", utf8("abc\n"), malformed("INVALID_ARGUMENT", "control-character", {}));
  fixture("passphrase", "empty", utf8(""), malformed("INVALID_ARGUMENT", "empty", {}));
  fixture("passphrase", "1025_bytes", utf8("x".repeat(1025)), malformed("LIMIT_EXCEEDED", undefined, {}));
}

/** Length of a file's plaintext segments, and of what comes before the first. */
const P = 65_536;
const E = P + 32;
const AREA = 2048;
const BODY = 512 + 2 * AREA;
const SEGMENTS = BODY + 74;

/** Plaintext that needs no place: byte i is i mod 251. */
const plain = (length) => Uint8Array.from({ length }, (_, i) => i % 251);

function files() {
  const dek = counting(0x20, 32);
  const slotSecret = counting(0x40, 32);
  const context = { app: "Apollo" };
  const given = { material: hex(root), keyId: hex(keyId), slotSecret: hex(slotSecret) };
  const made = (length, options = {}) => {
    const { id = counting(0xf0, 16), stored = true, generation = 1, seal = 1 } = options;
    const { entriesOf = (blob, slot) => [blob, slot], isLastEmpty = false } = options;
    const cec = encodeContext(context);
    const head = encodeFileHead({
      fileId: id,
      segmentPlaintextBytes: P,
      storedContext: stored ? cec : undefined,
      areaBytes: AREA,
      createdAtMs: time,
    });
    const header = concat(utf8("COB"), [1, 1, 0, 0, 0], keyId, [0, 0, 0, 1], keys.vaultHint(vaultId));
    const bound = encodeContext({ ...context, "coffer:file": hex(id) });
    const kenc = keys.blobKey(root, keyId, 1);
    const blob = concat(header, sealWithSalt(kenc, salt(seal), keys.blobContext(header, bound), dek));
    const headerBytes = encodeSlotHeader({
      id: new Uint8Array(16).fill(7),
      createdAtMs: time,
      fields: { kind: "passphrase", memoryKiB: 65_536, passes: 3, lanes: 4, salt: counting(0x60, 32) },
    });
    const kek = keys.fileSlotKek(slotSecret, id, new Uint8Array(16).fill(7));
    const sealed = sealWithSalt(kek, salt(2), keys.fileSlotContext(id, headerBytes), dek);
    const slot = { kind: "slot", headerBytes, sealed };
    const entries = entriesOf(blobEntry(blob), slot);
    const area = encodeKeyArea({ generation, entries, areaBytes: AREA }, keys.fileAreaKey(dek, id), head);
    const input = { aad: keys.fileBodyAad(head, cec), segmentBytes: E };
    const floe = createFloeWithIv(keys.fileBodyKey(dek, id), input, counting(0x80, 32));
    let nonce = 0;
    const segments = new FloeSegments(floe.keys, () => new Uint8Array(12).fill((nonce += 1)));
    const parts = [];
    for (let at = 0, position = 0; at === 0 || at < length; at += P, position++) {
      const piece = plain(length).subarray(at, at + P);
      const isLast = at + P >= length && !isLastEmpty;
      parts.push(segments.seal({ position, isLast }, piece));
    }
    if (isLastEmpty) parts.push(segments.seal({ position: parts.length, isLast: true }, new Uint8Array(0)));
    return concat(head, area, area, floe.header, ...parts);
  };
  const shown = (length) => ({ ...given, length, sha256: hex(sha256(plain(length))) });
  const named = { nothing: 0, one_byte: 1, segment_less_one: P - 1, segment: P, segment_and_one: P + 1 };
  for (const [name, length] of Object.entries({ ...named, three_segments: 3 * P })) {
    fixture("file", name, made(length), success({ ...shown(length), context }));
  }
  fixture("file", "context_not_stored", made(1, { stored: false }), success({ ...shown(1), context }));

  const good = made(1);
  const both = (at, ...values) => changed(changed(good, 512 + at, ...values), 512 + AREA + at, ...values);
  const torn = concat(
    good.subarray(0, 512),
    made(1, { generation: 2 }).subarray(512, 512 + 100),
    good.subarray(612),
  );
  fixture("file", "first_area_damaged", flipped(good, 512), success({ ...shown(1), damage: true }));
  fixture(
    "file",
    "second_area_damaged",
    flipped(good, 512 + AREA + 20),
    success({ ...shown(1), damage: true }),
  );
  fixture("file", "first_area_torn", torn, success({ ...shown(1), damage: true }));
  const newer = made(1, { generation: 2, seal: 3 }).subarray(512, 512 + AREA);
  const between = concat(good.subarray(0, 512), newer, good.subarray(512 + AREA));
  fixture("file", "between_two_writes", between, success({ ...shown(1), damage: false }));

  const bad = (reason) => malformed("INVALID_CIPHERTEXT", reason, given);
  fixture("file", "unknown_version", changed(good, 8, 2), malformed("UNSUPPORTED_FORMAT", undefined, given));
  fixture("file", "unknown_suite", changed(good, 9, 2), malformed("UNSUPPORTED_FORMAT", undefined, given));
  fixture("file", "other_magic", changed(good, 0, 0x88), bad("not-a-file"));
  fixture("file", "a_blob", good.subarray(524 + 4, 524 + 4 + 136), bad("coffer-blob"));
  fixture("file", "empty_file", utf8(""), bad("empty"));
  fixture("file", "cut_in_preamble", good.subarray(0, 63), bad("cut"));
  fixture("file", "cut_in_key_area", good.subarray(0, 512 + AREA + 100), bad("cut"));
  fixture("file", "cut_in_floe_header", good.subarray(0, SEGMENTS - 1), bad("cut"));
  fixture("file", "cut_before_segments", good.subarray(0, SEGMENTS), bad("cut"));
  fixture("file", "flag_unknown", changed(good, 11, 3), bad("preamble"));
  fixture("file", "segment_length_unknown", changed(good, 12, 0, 1, 0, 33), bad("preamble"));
  fixture("file", "area_length_odd", changed(good, 36, 0, 0, 8, 1), bad("preamble"));
  fixture("file", "area_length_too_large", changed(good, 36, 0, 2, 0, 0), bad("preamble"));
  fixture("file", "context_length_too_large", changed(good, 32, 0, 0, 0x20, 1), bad("preamble"));
  fixture("file", "context_not_canonical", changed(good, 64, 0, 2), bad("preamble"));
  fixture("file", "reserved_not_zero", changed(good, 48, 1), bad("preamble"));
  fixture("file", "padding_not_zero", changed(good, 511, 1), bad("preamble"));
  fixture("file", "creation_above_2_53", changed(good, 40, 0x20), bad("preamble"));
  fixture("file", "areas_other_magic", both(0, 0x44), bad("key-areas"));
  fixture("file", "areas_no_entry", both(8, 0, 0), bad("key-areas"));
  fixture("file", "areas_nine_entries", both(8, 0, 9), bad("key-areas"));
  fixture("file", "areas_entries_too_long", both(10, 0xff, 0xff), bad("key-areas"));
  fixture("file", "areas_entry_length", both(14, 0, 137), bad("key-areas"));
  fixture("file", "areas_bytes_after_end", both(AREA - 1, 1), bad("key-areas"));

  const closed = unopened("INVALID_CIPHERTEXT", given);
  const other = made(1, { id: counting(0xe0, 16) });
  fixture("file", "other_file_id", changed(good, 16, 0), closed);
  fixture("file", "other_time", flipped(good, 47), closed);
  fixture("file", "other_context_stored", changed(good, 78, 0x4f), closed);
  fixture("file", "areas_other_mac", both(12 + 140 + 181, 0, 0), closed);
  fixture("file", "areas_other_generation", both(7, 9), closed);
  fixture("file", "areas_changed_blob", both(12 + 4 + 60, 0, 0), closed);
  fixture(
    "file",
    "areas_of_another_file",
    concat(good.subarray(0, 512), other.subarray(512, BODY), good.subarray(BODY)),
    closed,
  );
  fixture("file", "body_of_another_file", concat(good.subarray(0, BODY), other.subarray(BODY)), closed);
  fixture("file", "floe_other_params", changed(good, BODY + 1, 1), closed);
  fixture("file", "floe_other_iv", flipped(good, BODY + 20), closed);
  fixture("file", "floe_other_tag", flipped(good, BODY + 60), closed);
  fixture("file", "segment_field", flipped(good, SEGMENTS + 3), closed);
  fixture("file", "segment_nonce", flipped(good, SEGMENTS + 4), closed);
  fixture("file", "segment_ciphertext", flipped(good, SEGMENTS + 16), closed);
  fixture("file", "segment_tag", flipped(good, -1), closed);
  fixture("file", "byte_missing", good.subarray(0, -1), closed);
  fixture("file", "byte_after_end", concat(good, [0]), closed);
  const two = made(P + 1);
  const tail = two.subarray(SEGMENTS + E);
  fixture("file", "first_segment_dropped", concat(two.subarray(0, SEGMENTS), tail), closed);
  fixture("file", "last_segment_dropped", two.subarray(0, SEGMENTS + E), closed);
  const [first, second] = [
    two.subarray(SEGMENTS, SEGMENTS + E),
    made(2 * P + 1).subarray(SEGMENTS + E, SEGMENTS + 2 * E),
  ];
  fixture("file", "segments_swapped", concat(two.subarray(0, SEGMENTS), second, first, tail), closed);
  fixture("file", "segment_doubled", concat(two.subarray(0, SEGMENTS), first, first, tail), closed);
  fixture("file", "segment_appended", concat(two, tail), closed);
  const foreign = made(P + 1, { id: counting(0xe0, 16) }).subarray(SEGMENTS, SEGMENTS + E);
  fixture("file", "segment_of_another_file", concat(two.subarray(0, SEGMENTS), foreign, tail), closed);

  fixture("file", "flag_without_context", changed(made(1, { stored: false }), 11, 1), bad("preamble"));
  fixture("file", "context_without_flag", changed(good, 11, 0), bad("preamble"));
  fixture("file", "age_file", utf8(`age-encryption.org/v1\n${"x".repeat(100)}`), bad("age"));
  const twice = { entriesOf: (blob, slot) => [blob, slot, slot] };
  fixture("file", "areas_two_entries_of_one_id", made(1, twice), bad("key-areas"));
  const strange = { kind: "unknown", type: 9, value: counting(0, 20) };
  fixture(
    "file",
    "unknown_entry_type",
    made(1, { entriesOf: (...known) => [strange, ...known] }),
    success({ ...shown(1), damage: false }),
  );
  fixture(
    "file",
    "last_segment_empty",
    made(P, { isLastEmpty: true }),
    success({ ...shown(P), damage: false }),
  );
}

/** Adds the hashes of new files to the list; what is listed stays as it is. */
function addSums() {
  const listed = existsSync(SUMS) ? readFileSync(SUMS, "utf8").split("\n").filter(Boolean) : [];
  const known = new Set(listed.map((line) => line.slice(66)));
  const folder = fileURLToPath(FIXTURES);
  const files = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)).replaceAll("\\", "/"))
    .filter((path) => /\/v\d+\//u.test(path) && !known.has(path));
  const lines = [
    ...listed,
    ...files.map((path) => `${hex(sha256(readFileSync(new URL(path, FIXTURES))))}  ${path}`),
  ];
  writeFileSync(SUMS, `${lines.sort((a, b) => (a.slice(66) < b.slice(66) ? -1 : 1)).join("\n")}\n`);
}

contexts();
blobs();
headers();
cbor();
records();
recoveryCodes();
passphrases();
files();
addSums();
console.log(`${written} fixtures written; those that existed were left as they are`);
