/**
 * The golden encrypted files: each is read as its sidecar says, by a key and by a slot.
 * @module
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

import { fromHex, hex } from "../../src/bytes.ts";
import { digest } from "../../src/crypto/hmac.ts";
import { AuthenticationError } from "../../src/crypto/failures.ts";
import { decryptFileWith } from "../../src/envelope/decrypt-file.ts";
import type { EnvelopeGround, EnvelopeNotice } from "../../src/envelope/envelope-ground.ts";
import { FILE_ID_NAME, type KeyAccess } from "../../src/envelope/key-access.ts";
import { InvalidCiphertextError, isCofferError } from "../../src/errors.ts";
import { openBlob } from "../../src/formats/blob.ts";
import { encodeContext } from "../../src/formats/context.ts";
import { openSlotEntry } from "../../src/formats/key-area.ts";
import { blobKey } from "../../src/formats/key-schedule.ts";
import { nodeFileSystem } from "../../src/storage/file-system.ts";
import { scratchDirectories } from "../storage/scratch.ts";
import { bytesOf, namesIn } from "./file-ground.ts";

const FOLDER = new URL("../../fixtures/file/v1/", import.meta.url);
const scratch = scratchDirectories();

interface Sidecar {
  readonly expect: "success" | "format" | "authentication";
  readonly code?: string;
  readonly reason?: string;
  readonly material: string;
  readonly slotSecret: string;
  readonly context?: Record<string, string>;
  readonly length?: number;
  readonly sha256?: string;
  readonly damage?: boolean;
}

const fixtures = readdirSync(FOLDER)
  .filter((name) => name.endsWith(".bin"))
  .map((file) => {
    const name = file.slice(0, -".bin".length);
    const sidecar = JSON.parse(readFileSync(new URL(`${name}.json`, FOLDER), "utf8")) as Sidecar;
    return { name, path: fileURLToPath(new URL(file, FOLDER)), sidecar };
  });

const unused = (): never => {
  throw new Error("not used for reading");
};

/** Opens with the values of a sidecar, in place of a vault or a passphrase. */
function accessOf(kind: KeyAccess["kind"], sidecar: Sidecar): KeyAccess {
  const secret = fromHex(sidecar.slotSecret);
  return {
    kind,
    create: unused,
    wrap: unused,
    prepare: () => undefined,
    end: () => undefined,
    open: async (entry, { fileId, context }) => {
      try {
        if (entry.kind === "slot") return { dek: openSlotEntry(secret, fileId, entry) };
        if (entry.kind === "unknown") return unused();
        const { keyId, version } = entry.blob.header;
        const kenc = blobKey(fromHex(sidecar.material), keyId, version);
        const cec = encodeContext({ ...context, [FILE_ID_NAME]: hex(fileId) });
        return { dek: openBlob(kenc, entry.blob, cec) };
      } catch (error) {
        if (error instanceof AuthenticationError) return { failure: new InvalidCiphertextError("closed") };
        if (isCofferError(error, "COFFER_INVALID_CIPHERTEXT")) return { failure: error };
        throw error;
      }
    },
  };
}

test.each(fixtures)("file/$name reads as its sidecar says [F-200…F-224]", async ({ name, path, sidecar }) => {
  for (const kind of ["blob", "slot"] as const) {
    // What a changed blob spoils, the slot beside it does not.
    if (kind === "slot" && name === "areas_changed_blob") continue;
    const directory = await scratch();
    const notices: EnvelopeNotice[] = [];
    const ground: EnvelopeGround = {
      fs: nodeFileSystem,
      clock: () => 0,
      report: (notice) => void notices.push(notice),
      mayUseWorkers: false,
    };
    const destination = join(directory, "out");
    const encryptionContext = sidecar.context;
    const error: unknown = await decryptFileWith(
      ground,
      accessOf(kind, sidecar),
      { source: path, destination },
      { encryptionContext },
    ).then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    if (sidecar.expect === "success") {
      expect(error).toBeUndefined();
      const plaintext = await bytesOf(destination);
      expect(plaintext).toHaveLength(sidecar.length ?? -1);
      expect(hex(digest("sha256", plaintext))).toBe(sidecar.sha256);
      expect(notices).toHaveLength(sidecar.damage === true ? 1 : 0);
    } else {
      expect(error).toMatchObject({ code: sidecar.code });
      expect((error as { reason?: string }).reason).toBe(sidecar.reason);
      expect(await namesIn(directory)).toEqual([]);
    }
  }
});

test("the lengths at the edges of segments are among them", () => {
  const lengths = fixtures.map(({ sidecar }) => sidecar.length);
  for (const length of [0, 1, 65_535, 65_536, 65_537, 196_608]) expect(lengths).toContain(length);
});
