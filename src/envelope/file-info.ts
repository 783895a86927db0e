/**
 * What a file says of itself without any key. Nothing of it is authenticated.
 * @module
 */
import { floeLayout, FLOE_SEGMENT_OVERHEAD_BYTES } from "../crypto/floe.ts";
import { MalformedError } from "../crypto/failures.ts";
import { hex } from "../bytes.ts";
import { type EncryptionContext, decodeContext } from "../formats/context.ts";
import { cut, fileOffsets, type ParsedFileHead, parseFileHead } from "../formats/file.ts";
import { type KeyEntry, keyEntryId, parseKeyArea } from "../formats/key-area.ts";
import { statedDate } from "../formats/stated-date.ts";
import { formatKeyId } from "../keystore/key-reference.ts";
import type { FileSystem } from "../storage/file-system.ts";
import { readBeginning } from "./open-envelope.ts";
import { openSource } from "./source-file.ts";

/** One way to open the file. `id` names it for unshareFile. */
export type FileKeyInfo =
  | {
      readonly kind: "key";
      /** The CMK's id, a UUID. */
      readonly id: string;
      readonly keyVersion: number;
      /** Four bytes in hexadecimal, by which a vault knows its own. */
      readonly vaultHint: string;
    }
  | { readonly kind: "passphrase" | "pkcs11"; readonly id: string; readonly createdAt: Date }
  | { readonly kind: "unknown"; readonly id: string };

export interface FileInfo {
  /** Whoever can write the file can make it say anything. */
  readonly authenticated: false;
  readonly fileId: string;
  /** Plaintext of one segment, in bytes. */
  readonly segmentBytes: number;
  /** Undefined where it was left out. */
  readonly createdAt: Date | undefined;
  /** The context, where it is stored. */
  readonly encryptionContext: EncryptionContext | undefined;
  /** Length of the file. */
  readonly encryptedBytes: number;
  /** Length of the plaintext, as the file's length claims it. */
  readonly plaintextBytes: number;
  /** Of the newer of two differing key areas; empty when both are damaged. */
  readonly entries: readonly FileKeyInfo[];
  /** True when a key area is damaged and that shows without a key; opening the file finds the rest. */
  readonly isDamaged: boolean;
}

/** Reads what a file says of itself. @throws InvalidCiphertextError, UnsupportedFormatError, IoError. */
export async function readFileInfo(fs: FileSystem, path: string): Promise<FileInfo> {
  const source = await openSource(fs, path);
  try {
    const bytes = await readBeginning(source);
    const head = parseFileHead(bytes);
    const areas = fileOffsets(head).areas.map((at) => parseKeyArea(bytes.subarray(at, at + head.areaBytes)));
    const sound = areas.filter((area) => area !== undefined);
    const [newest] = sound.toSorted((a, b) => b.generation - a.generation);
    const { createdAtMs, storedContext } = head;
    return {
      authenticated: false,
      fileId: hex(head.fileId),
      segmentBytes: head.segmentPlaintextBytes,
      createdAt: createdAtMs === undefined ? undefined : statedDate(createdAtMs),
      encryptionContext:
        storedContext === undefined ? undefined : Object.fromEntries(decodeContext(storedContext)),
      encryptedBytes: source.stats.size,
      plaintextBytes: plaintextBytes(head, source.stats.size - bytes.length),
      entries: newest?.entries.map(describe) ?? [],
      isDamaged: sound.length < areas.length,
    };
  } finally {
    await source.handle.close().catch(() => undefined);
  }
}

/** The key entries of a file, of both its areas. Unauthenticated. */
export interface FoundKeyEntries {
  readonly entries: readonly KeyEntry[];
  /** True when an area is damaged. */
  readonly isDamaged: boolean;
}

/**
 * Takes the key entries out of a file's beginning, as {@link readBeginning} reads it.
 * @throws InvalidCiphertextError, UnsupportedFormatError.
 */
export function keyEntriesOf(beginning: Uint8Array): FoundKeyEntries {
  const head = parseFileHead(beginning);
  const areas = fileOffsets(head).areas.map((at) =>
    parseKeyArea(beginning.subarray(at, at + head.areaBytes)),
  );
  return {
    entries: areas.flatMap((area) => area?.entries ?? []),
    isDamaged: areas.includes(undefined),
  };
}

function plaintextBytes({ segmentPlaintextBytes }: ParsedFileHead, bodyBytes: number): number {
  try {
    return floeLayout(bodyBytes, segmentPlaintextBytes + FLOE_SEGMENT_OVERHEAD_BYTES).plaintextBytes;
  } catch (error) {
    if (error instanceof MalformedError) throw cut();
    throw error;
  }
}

function describe(entry: KeyEntry): FileKeyInfo {
  if (entry.kind === "blob") {
    const { keyId, version, vaultHint } = entry.blob.header;
    return { kind: "key", id: formatKeyId(keyId), keyVersion: version, vaultHint: hex(vaultHint) };
  }
  const id = keyEntryId(entry);
  if (entry.kind === "unknown") return { kind: "unknown", id };
  const { kind } = entry.header.fields;
  if (kind !== "passphrase" && kind !== "pkcs11") return { kind: "unknown", id };
  return { kind, id, createdAt: statedDate(entry.header.createdAtMs) };
}
