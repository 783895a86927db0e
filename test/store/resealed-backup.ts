/**
 * Backups that their keys vouch for, and that no vault of ours would make, for tests of a restore.
 * @module
 */
import { readFile, writeFile } from "node:fs/promises";

import { concat } from "../../src/bytes.ts";
import { encodeObjectPrefix, encodeRecordFrame } from "../../src/formats/backup.ts";
import { openBackup, type ReadExactly, readBackupHead, sealBackup } from "../../src/keystore/backup-file.ts";
import { openRoot, wayInOf } from "../../src/keystore/slots/way-in.ts";
import { VaultKeys } from "../../src/keystore/vault-keys.ts";
import { cheapPassphrase } from "../../src/testing.ts";
import { all } from "./store-ground.ts";

/** What a backup holds. */
export interface OpenedFrames {
  readonly records: Uint8Array;
  readonly recordCount: number;
  readonly objects: readonly Uint8Array[];
}

/** Makes a backup that its keys vouch for, and that no vault of ours would make. */
export async function resealedBackup(
  file: string,
  secret: string,
  change: (frames: OpenedFrames) => readonly Uint8Array[],
  hasObjects = true,
): Promise<void> {
  const bytes = new Uint8Array(await readFile(file));
  const read: ReadExactly = async (length, at) => bytes.slice(at, at + length);
  const head = await readBackupHead(read, bytes.length);
  const { vaultId } = head.header;
  const { root } = await openRoot(head.header, wayInOf(cheapPassphrase(secret), "unlock"), {
    vaultId,
    warn: () => undefined,
    signal: undefined,
  });
  const keys = new VaultKeys(root, vaultId);
  const records: Uint8Array[] = [];
  const objects: Uint8Array[][] = [];
  for (const item of (await all(openBackup(head, keys, read, bytes.length, () => undefined))).flat()) {
    if (item.kind === "record") records.push(encodeRecordFrame(...item.record));
    else if (item.kind === "object") objects.push([encodeObjectPrefix(item.contentId, item.lengthBytes)]);
    else objects.at(-1)?.push(item.bytes);
  }
  async function* frames(): AsyncGenerator<Uint8Array> {
    yield* change({
      records: concat(...records),
      recordCount: records.length,
      objects: objects.map((pieces) => concat(...pieces)),
    });
  }
  await writeFile(
    file,
    concat(...(await all(sealBackup({ ...head, hasObjects }, head.header, keys, frames())))),
  );
}
