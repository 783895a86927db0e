import { execFile } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { concat, hex, label, utf8 } from "../../src/bytes.ts";
import { argon2id } from "../../src/crypto/argon2id.ts";
import { expand } from "../../src/crypto/hkdf.ts";
import { randomKey } from "../../src/crypto/random.ts";
import { sealBlob } from "../../src/formats/blob.ts";
import { encodeContext } from "../../src/formats/context.ts";
import { openSlot, parseHeader, type ParsedSlot } from "../../src/formats/header.ts";
import { blobContext, blobKey, slotKek } from "../../src/formats/key-schedule.ts";
import { decodeRecoveryCode } from "../../src/formats/recovery-code.ts";
import { decodeRecord, TABLES } from "../../src/formats/records/tables.ts";
import { openRecord } from "../../src/formats/records/sealing.ts";
import { createVault } from "../../src/index.ts";
import { openMaterial } from "../../src/keystore/key-material.ts";
import { ENCRYPT_DECRYPT, SYMMETRIC_DEFAULT } from "../../src/keystore/new-key.ts";
import { passphraseWith } from "../../src/keystore/slots/passphrase.ts";
import { VaultKeys } from "../../src/keystore/vault-keys.ts";
import { openLevelStore } from "../../src/storage/level-store.ts";
import { distUrl, scratchDirectories } from "../storage/scratch.ts";

const scratch = scratchDirectories();
const MASK = 0x5a;
const COST = { memoryKiB: 8, passes: 1, lanes: 1 };

const masked = (bytes: Uint8Array): string => hex(bytes.map((byte) => byte ^ MASK));

async function secretsOf(
  directory: string,
  passphrase: Uint8Array,
  code: string,
): Promise<Record<string, Uint8Array>> {
  const header = parseHeader(await readFile(join(directory, "header.0")));
  const [first, second] = header.slots as [ParsedSlot, ParsedSlot];
  const { key: recoveryKey } = decodeRecoveryCode(code);
  const root = openSlot(recoveryKey, header.vaultId, second);
  if (first.header.fields.kind !== "passphrase") throw new Error("expected a passphrase slot");
  const { salt } = first.header.fields;
  const slotSecret = await argon2id({ password: passphrase, salt, cost: COST, lengthBytes: 32 });
  const keys = new VaultKeys(root, header.vaultId);
  const store = await openLevelStore(join(directory, "db-1"), { create: false });
  try {
    for await (const [key, value] of store.entries({ gte: Uint8Array.of(3), lt: Uint8Array.of(4) })) {
      const { id, sealed } = decodeRecord(
        TABLES.versions,
        openRecord(keys.database, header.vaultId, key, value),
      );
      if (sealed === undefined) continue;
      const owner = { id, spec: SYMMETRIC_DEFAULT, usage: ENCRYPT_DECRYPT };
      const material = openMaterial(keys, owner, 1, sealed);
      return {
        passphrase,
        "recovery key": recoveryKey,
        "passphrase's slot secret": slotSecret,
        "passphrase's slot KEK": slotKek(slotSecret, header.vaultId, first.header.id),
        "recovery slot KEK": slotKek(recoveryKey, header.vaultId, second.header.id),
        root,
        Kheader: keys.header,
        Kdb: keys.database,
        Kname: keys.name,
        Kset: keys.set,
        Kmaterial: keys.material,
        "CMK material": material,
        "blob key": blobKey(material, id, 1),
        "key id": id,
      };
    }
  } finally {
    await store.close();
  }
  throw new Error("expected a key version");
}

/** A blob, and the key that encrypts it and no other. */
function blobOf(
  kenc: Uint8Array,
  keyId: Uint8Array,
  plaintext: Uint8Array,
): { bytes: Uint8Array; aeadKey: Uint8Array } {
  const header = { keyId, version: 1, vaultHint: new Uint8Array(4) };
  const cec = encodeContext({});
  const bytes = sealBlob(kenc, header, cec, plaintext);
  const info = concat(
    label("c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM"),
    bytes.subarray(32, 56),
    blobContext(bytes.subarray(0, 32), cec),
  );
  return { bytes, aeadKey: expand("sha512", kenc, info, 32) };
}

test("after lock no secret that we own is in the process's memory: A-25, A-26, A-28", async () => {
  const directory = join(await scratch(), "v");
  const [passphrase, second, third] = [randomKey(), randomKey(), randomKey()];
  const unlock = passphraseWith(passphrase, { cost: COST, floor: COST });
  const { vault, recoveryCode } = await createVault(directory, { unlock });
  await vault.close();
  const { "key id": keyId, ...own } = await secretsOf(directory, passphrase, recoveryCode);
  const dataKey = randomKey();
  const blob = blobOf(own["blob key"] as Uint8Array, keyId as Uint8Array, dataKey);
  const secrets = {
    ...own,
    "data key that its caller has wiped": dataKey,
    "AEAD key of that data key's blob": blob.aeadKey,
    "added passphrase": second,
    "new passphrase": third,
  };
  const needles: Record<string, string> = {};
  for (const [name, bytes] of Object.entries(secrets)) {
    // A half is looked for, as the allocator writes over the beginning of what it has freed. Argon2's native code
    // sometimes leaves half of its answer, from a register, on a thread's stack: nobody can reach that.
    needles[name] = masked(name === "passphrase's slot secret" ? bytes : bytes.subarray(-16));
  }
  const taskFile = join(await scratch(), "task.json");
  const task = {
    directory,
    needles,
    blob: hex(blob.bytes),
    passphrase: masked(passphrase),
    second: masked(second),
    third: masked(third),
    wrong: masked(randomKey()),
    code: masked(utf8(recoveryCode)),
  };
  await writeFile(taskFile, JSON.stringify({ MASK, task }));
  const child = new URL("memory-child.mjs", import.meta.url).pathname;
  const { stdout } = await promisify(execFile)(process.execPath, [child, distUrl(""), taskFile]);
  const { unlocked, locked, again, rotated, restored } = JSON.parse(stdout) as Record<
    string,
    Record<string, number>
  >;
  const found = (counts: Record<string, number> | undefined): string[] =>
    Object.entries(counts ?? {}).flatMap(([name, count]) => (count > 0 ? [`${name}: ${count}`] : []));
  // The search finds what is there.
  expect(unlocked?.["root"]).toBeGreaterThan(0);
  expect(unlocked?.["blob key"]).toBeGreaterThan(0);
  // What belongs to one call is gone when that has ended.
  expect(unlocked?.["AEAD key of that data key's blob"]).toBe(0);
  expect(unlocked?.["data key that its caller has wiped"]).toBe(0);
  expect(found(locked)).toEqual([]);
  expect(found(again)).toEqual([]);
  // After a root change the vault still has its CMKs, and nothing of the old root key, while it is unlocked.
  expect(rotated?.["blob key"]).toBeGreaterThan(0);
  expect(found(rotated).filter((line) => !/^(?:CMK material|blob key):/u.test(line))).toEqual([]);
  expect(found(restored)).toEqual([]);
});
