/**
 * The beginning of a file, before its first segment: made for a new file, and opened with a key.
 * Source: docs/format.md#file, #key-areas [F-205] [F-213] [F-214].
 * @module
 */
import { concat, copy, equal, hex } from "../bytes.ts";
import { AuthenticationError, MalformedError } from "../crypto/failures.ts";
import {
  createFloe,
  FLOE_SEGMENT_OVERHEAD_BYTES,
  floeHeaderTag,
  type FloeInput,
  type FloeKeys,
  openFloe,
} from "../crypto/floe.ts";
import { FloeSegments } from "../crypto/floe-segments.ts";
import { randomId } from "../crypto/random.ts";
import { InvalidArgumentError, InvalidCiphertextError, isCofferError } from "../errors.ts";
import { decodeContext, encodeContext, type EncryptionContext } from "../formats/context.ts";
import {
  encodeFileHead,
  type FileOffsets,
  fileOffsets,
  keyAreaBytesFor,
  MIN_KEY_AREA_BYTES,
  type ParsedFileHead,
  parseFileHead,
} from "../formats/file.ts";
import {
  encodeKeyArea,
  keyAreaContentBytes,
  type KeyEntry,
  type ParsedKeyArea,
  parseKeyArea,
  verifyKeyArea,
} from "../formats/key-area.ts";
import { fileAreaKey, fileBodyAad, fileBodyKey } from "../formats/key-schedule.ts";
import { wipe } from "../secret.ts";
import type { EnvelopeNotice } from "./envelope-ground.ts";
import { unopenedFile } from "./file-failures.ts";
import { FILE_ID_NAME, type KeyAccess, type Opened } from "./key-access.ts";

const RESERVED_PREFIX: string = FILE_ID_NAME.slice(0, FILE_ID_NAME.indexOf(":") + 1);
const FIRST_GENERATION = 1;

/** What a new file is to be. */
export interface NewFileFields {
  readonly context: EncryptionContext;
  readonly storeContext: boolean;
  /** P, one of the recognised sizes. */
  readonly segmentPlaintextBytes: number;
  readonly createdAtMs: number;
  /** 16 bytes. @defaultValue drawn */
  readonly fileId?: Uint8Array | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Told each time that data passes, so that nobody takes the owner of the key for idle. */
  readonly onUse?: (() => void) | undefined;
}

/** A new file up to its first segment. Who holds it closes `segments`. */
export interface NewBeginning {
  /** Head, key areas and FLOE header. */
  readonly bytes: Uint8Array;
  /** 32 bytes that commit to the data key and to all of the body. */
  readonly headerTag: Uint8Array;
  readonly segments: FloeSegments;
}

/** Draws a data key and makes the beginning of a file for it. */
export async function makeBeginning(access: KeyAccess, fields: NewFileFields): Promise<NewBeginning> {
  const { context, segmentPlaintextBytes, createdAtMs, signal } = fields;
  const { fileId = randomId() } = fields;
  const cec = encodeContext(context);
  const { dek, entry } = await access.create({ fileId, context, signal });
  try {
    const head = parseFileHead(
      encodeFileHead({
        fileId,
        segmentPlaintextBytes,
        // An empty context needs no place.
        storedContext: fields.storeContext && Object.keys(context).length > 0 ? cec : undefined,
        areaBytes: keyAreaBytesFor(keyAreaContentBytes([entry])) ?? MIN_KEY_AREA_BYTES,
        createdAtMs,
      }),
    );
    const area = makeArea(dek, head, { generation: FIRST_GENERATION, entries: [entry] });
    const kbody = fileBodyKey(dek, fileId);
    try {
      const { header, keys } = createFloe(kbody, floeInput(head, cec));
      return {
        bytes: concat(head.bytes, area, area, header),
        headerTag: floeHeaderTag(header),
        segments: new FloeSegments(keys),
      };
    } finally {
      wipe(kbody);
    }
  } finally {
    wipe(dek);
  }
}

/** Returns the bytes of a key area. */
export function makeArea(
  dek: Uint8Array,
  head: ParsedFileHead,
  fields: { readonly generation: number; readonly entries: readonly KeyEntry[] },
): Uint8Array {
  const karea = fileAreaKey(dek, head.fileId);
  try {
    return encodeKeyArea({ ...fields, areaBytes: head.areaBytes }, karea, head.bytes);
  } finally {
    wipe(karea);
  }
}

/** How a file is to be opened. */
export interface OpenFields {
  readonly access: KeyAccess;
  /** The context as the caller gave it; undefined takes the stored one. */
  readonly context: EncryptionContext | undefined;
  readonly report: (notice: EnvelopeNotice) => void;
  readonly signal?: AbortSignal | undefined;
  /** Told each time that data passes, so that nobody takes the owner of the key for idle. */
  readonly onUse?: (() => void) | undefined;
}

/** A beginning that a key has authenticated. Who holds it wipes `dek` and closes `segments`. */
export interface OpenedBeginning {
  readonly head: ParsedFileHead;
  readonly offsets: FileOffsets;
  readonly context: EncryptionContext;
  /** The area that was taken. */
  readonly area: ParsedKeyArea;
  /** Its bytes. */
  readonly areaBytes: Uint8Array;
  /** Offsets of areas that hold other bytes: damaged, or left behind by a change that was cut. */
  readonly differingAreas: readonly number[];
  /** The entry that opened. */
  readonly entry: KeyEntry;
  readonly dek: Uint8Array;
  /** 32 bytes that commit to the data key and to all of the body. */
  readonly headerTag: Uint8Array;
  readonly segments: FloeSegments;
}

/**
 * Opens a file's beginning. Releases nothing of its body, and proves nothing of its length.
 * @param bytes at least `fileBeginningLength` of them.
 * @throws InvalidCiphertextError, UnsupportedFormatError, WrongSecretError, and what the vault answers for its key.
 */
export async function openBeginning(bytes: Uint8Array, fields: OpenFields): Promise<OpenedBeginning> {
  const head = parseFileHead(bytes);
  const offsets = fileOffsets(head);
  const areas = offsets.areas.map((at) => parseKeyArea(bytes.subarray(at, at + head.areaBytes)));
  const sound = areas.filter((area) => area !== undefined);
  // [F-219]
  if (sound.length === 0) throw noSoundArea();
  // A stable sort: of two that are equal area 0 comes first [F-213].
  const inOrder = sound.toSorted((a, b) => b.generation - a.generation);
  const context = contextOf(head, fields.context);
  const floe = {
    input: floeInput(head, encodeContext(context)),
    header: bytes.subarray(offsets.body, offsets.segments),
  };
  const found = await openAreas(inOrder, head, context, floe, fields);
  const others = sound.filter((area) => area !== found.area);
  if (sound.length < areas.length || !areAuthentic(others, found.dek, head)) {
    fields.report({
      type: "damage",
      message:
        "One of the two key areas of an encrypted file is damaged; the other was used. Rewrap the file, which writes both anew.",
    });
  }
  const { area, entry, dek, keys } = found;
  const headerTag = floeHeaderTag(floe.header);
  const areaAt = (at: number): Uint8Array => bytes.subarray(at, at + head.areaBytes);
  const areaBytes = copy(areaAt(offsets.areas[areas.indexOf(area)] as number));
  const differingAreas = offsets.areas.filter((at) => !equal(areaAt(at), areaBytes));
  return {
    head,
    offsets,
    context,
    area,
    areaBytes,
    differingAreas,
    entry,
    dek,
    headerTag,
    segments: new FloeSegments(keys),
  };
}

interface FloeStart {
  readonly input: FloeInput;
  readonly header: Uint8Array;
}

interface FoundKey {
  readonly area: ParsedKeyArea;
  readonly entry: KeyEntry;
  readonly dek: Uint8Array;
  readonly keys: FloeKeys;
}

async function openAreas(
  areas: readonly ParsedKeyArea[],
  head: ParsedFileHead,
  context: EncryptionContext,
  floe: FloeStart,
  { access, signal }: OpenFields,
): Promise<FoundKey> {
  const binding = { fileId: head.fileId, context, signal };
  const entries = areas.flatMap((area) => area.entries).filter((entry) => entry.kind === access.kind);
  if (entries.length === 0) throw noEntry(access.kind);
  access.prepare(entries, binding);
  const failures: unknown[] = [];
  // At rest both areas say the same: what failed once is not tried again.
  const failed = new Set<string>();
  for (const area of areas) {
    let isTaken = false;
    for (const entry of area.entries.filter(({ kind }) => kind === access.kind)) {
      const name = entryName(entry);
      if (failed.has(name)) continue;
      signal?.throwIfAborted();
      const opened: Opened = await access.open(entry, binding);
      if ("failure" in opened) {
        failed.add(name);
        failures.push(opened.failure);
        continue;
      }
      isTaken = true;
      const keys = keysOf(opened.dek, head, area, floe);
      if (keys !== undefined) return { area, entry, dek: opened.dek, keys };
      wipe(opened.dek);
      break;
    }
    // The first entry that opens decides for its area [F-213].
    if (isTaken) failures.unshift(unopenedFile());
  }
  throw tellingFailure(failures);
}

/** What is damaged in the area that was not needed shows now, and not when it is. */
function areAuthentic(areas: readonly ParsedKeyArea[], dek: Uint8Array, head: ParsedFileHead): boolean {
  const karea = fileAreaKey(dek, head.fileId);
  try {
    return areas.every((area) => verifyKeyArea(area, karea, head.bytes));
  } finally {
    wipe(karea);
  }
}

/** The checks after a data key was found: the area's HMAC, then the FLOE header's tag [F-214]. */
function keysOf(
  dek: Uint8Array,
  head: ParsedFileHead,
  area: ParsedKeyArea,
  { input, header }: FloeStart,
): FloeKeys | undefined {
  const karea = fileAreaKey(dek, head.fileId);
  const kbody = fileBodyKey(dek, head.fileId);
  try {
    return verifyKeyArea(area, karea, head.bytes) ? openFloe(kbody, input, header) : undefined;
  } catch (error) {
    if (error instanceof AuthenticationError || error instanceof MalformedError) return undefined;
    throw error;
  } finally {
    wipe(karea, kbody);
  }
}

/** Of several reasons the one that says most: a disabled key of this vault, rather than an entry for somebody else. */
function tellingFailure(failures: readonly unknown[]): unknown {
  const vague = ["COFFER_INVALID_CIPHERTEXT", "COFFER_NOT_FOUND"];
  const telling = failures.find((error) => isCofferError(error) && !vague.includes(error.code));
  return telling ?? failures[0] ?? unopenedFile();
}

/**
 * Checks a caller's context for a file.
 * @throws InvalidArgumentError for a name that begins with `coffer:` [F-210]; else as `encodeContext`.
 */
export function assertFileContext(context: EncryptionContext | undefined): void {
  encodeContext(context);
  for (const name of Object.keys(context ?? {})) {
    if (name.startsWith(RESERVED_PREFIX)) {
      throw new InvalidArgumentError(
        `encryptionContext: names that begin with ${RESERVED_PREFIX} are kept for Coffer; choose another name`,
        { details: { reason: "reserved-name" } },
      );
    }
  }
}

function contextOf(head: ParsedFileHead, given: EncryptionContext | undefined): EncryptionContext {
  if (head.storedContext === undefined) return given ?? {};
  const stored = Object.fromEntries(decodeContext(head.storedContext));
  if (given === undefined) return stored;
  // The caller's word decides: a file that was put in the place of another must not open.
  if (!equal(encodeContext(given), head.storedContext)) throw unopenedFile();
  return given;
}

function floeInput(head: ParsedFileHead, cec: Uint8Array): FloeInput {
  return {
    aad: fileBodyAad(head.bytes, cec),
    segmentBytes: head.segmentPlaintextBytes + FLOE_SEGMENT_OVERHEAD_BYTES,
  };
}

function entryName(entry: KeyEntry): string {
  if (entry.kind === "blob") return hex(entry.blobBytes);
  return entry.kind === "slot" ? hex(entry.headerBytes) + hex(entry.sealed) : hex(entry.value);
}

function noSoundArea(): InvalidCiphertextError {
  return new InvalidCiphertextError("Both key areas of this encrypted file are damaged. Fetch it again.", {
    details: { reason: "key-areas" },
  });
}

function noEntry(kind: KeyAccess["kind"]): InvalidCiphertextError {
  const message =
    kind === "blob"
      ? "This file has no entry for a key of a vault: it opens with a passphrase or a token. Use the function decryptFile with { unlock: passphrase(…) }."
      : "This file has no entry for a passphrase or a token. Open it with the vault that encrypted it.";
  return new InvalidCiphertextError(message, { details: { reason: "no-entry" } });
}
