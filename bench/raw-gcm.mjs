/**
 * Bulk encryption in memory: Coffer's segments, and as their baseline one AES-256-GCM of node:crypto for each, with
 * updates of the same length. Both drop what they made.
 * @module
 */
import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { createFloe } from "../dist/crypto/floe.js";
import { FloeSegments } from "../dist/crypto/floe-segments.js";

const ALGORITHM = "aes-256-gcm";
const TAG = { authTagLength: 16 };
const UPDATE_BYTES = 32_768;
const OVERHEAD_BYTES = 32;

/** Returns works that seal and open `count` segments of `segmentBytes` of plaintext, always the same. */
export function coffersSegments(segmentBytes, count) {
  const segments = newSegments(segmentBytes);
  const plaintext = randomBytes(segmentBytes);
  const first = segments.seal({ position: 0, isLast: false }, plaintext);
  return {
    seal: () => {
      for (let position = 0; position < count; position += 1) {
        segments.sealSlices({ position, isLast: false }, plaintext);
      }
    },
    open: () => {
      for (let turn = 0; turn < count; turn += 1) segments.openSlices({ position: 0, isLast: false }, first);
    },
  };
}

/** Returns works that seal and open all of `plaintext`, which is some whole segments. */
export function segmentsOf(plaintext, segmentBytes) {
  const segments = newSegments(segmentBytes);
  const pieces = [];
  for (let at = 0; at < plaintext.length; at += segmentBytes)
    pieces.push(plaintext.subarray(at, at + segmentBytes));
  const sealed = pieces.map((piece, position) => segments.seal({ position, isLast: false }, piece));
  return {
    seal: () => pieces.forEach((piece, position) => segments.sealSlices({ position, isLast: false }, piece)),
    open: () => sealed.forEach((piece, position) => segments.openSlices({ position, isLast: false }, piece)),
  };
}

function newSegments(segmentBytes) {
  const { keys } = createFloe(randomBytes(32), {
    aad: randomBytes(32),
    segmentBytes: segmentBytes + OVERHEAD_BYTES,
  });
  return new FloeSegments(keys);
}

/** The same with node:crypto alone. */
export function rawSegments(segmentBytes, count) {
  const key = randomBytes(32);
  const plaintext = randomBytes(segmentBytes);
  const nonce = randomBytes(12);
  const first = sealRaw(key, nonce, plaintext);
  return {
    seal: () => {
      for (let turn = 0; turn < count; turn += 1) sealRaw(key, randomBytes(12), plaintext);
    },
    open: () => {
      for (let turn = 0; turn < count; turn += 1) openRaw(key, nonce, first);
    },
  };
}

function sealRaw(key, nonce, plaintext) {
  const cipher = createCipheriv(ALGORITHM, key, nonce, TAG);
  const slices = updates(cipher, plaintext);
  cipher.final();
  return { slices, tag: cipher.getAuthTag() };
}

function openRaw(key, nonce, { slices, tag }) {
  const decipher = createDecipheriv(ALGORITHM, key, nonce, TAG);
  const opened = slices.map((slice) => decipher.update(slice));
  decipher.setAuthTag(tag);
  decipher.final();
  return opened;
}

function updates(cipher, bytes) {
  const slices = [];
  for (let at = 0; at < bytes.length; at += UPDATE_BYTES) {
    slices.push(cipher.update(bytes.subarray(at, at + UPDATE_BYTES)));
  }
  return slices;
}
