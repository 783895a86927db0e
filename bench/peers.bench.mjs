/**
 * How much faster than other JavaScript is bulk encryption in memory? Peers that are not installed are left out:
 * `--install-peers` brings them. Everybody keeps the whole result in memory.
 * @module
 */
import { Buffer } from "node:buffer";
import { randomBytes } from "node:crypto";
import { performance } from "node:perf_hooks";
import { createFloe } from "../dist/crypto/floe.js";
import { FloeSegments } from "../dist/crypto/floe-segments.js";
import { releaseMemory } from "../dist/crypto/released-memory.js";
import { inRounds, rateLine, sizeText } from "./measure.mjs";
import { peer } from "./peers.mjs";

const QUESTION = "in memory, against other packages";
/** What `encryptFile` writes. */
const SEGMENT_BYTES = 262_144;
/** The best for the AWS Encryption SDK, whose own are 4 KiB. */
const LARGE_FRAME_BYTES = 65_536;
const OVERHEAD_BYTES = 32;
const TARGET = 15;
/** Ours is so short that clearing away the others' memory would count: it has one more time first, and several. */
const TIMES = 4;

/** @returns {Promise<object[]>} */
export async function againstPeers({ peerRounds, peerBytes, isQuick }) {
  if (isQuick) return [];
  const plaintext = randomBytes(peerBytes);
  const lines = [];
  for (const [name, make, target] of [
    ["typage", typage, TARGET],
    ["AWS Encryption SDK", (bytes) => awsEncryptionSdk(bytes, {}), TARGET],
    ["the same, frames of 64 KiB", (bytes) => awsEncryptionSdk(bytes, { frameLength: LARGE_FRAME_BYTES })],
  ]) {
    const theirs = await make(plaintext);
    if (theirs === undefined) continue;
    const ours = coffers(plaintext);
    for (const direction of ["encrypt", "decrypt"]) {
      const took = await inRounds(peerRounds, {
        theirs: theirs[direction],
        ours() {
          ours[direction]();
          const startedMs = performance.now();
          for (let time = 0; time < TIMES; time += 1) ours[direction]();
          return (performance.now() - startedMs) / 1000 / TIMES;
        },
      });
      lines.push(
        rateLine({
          question: QUESTION,
          what: `${direction}, ${sizeText(peerBytes)}`,
          bytes: peerBytes,
          took: took.ours,
          baseline: name,
          baselineTook: took.theirs,
          target,
        }),
      );
    }
  }
  return lines;
}

function coffers(plaintext) {
  const segments = () => {
    const { keys } = createFloe(randomBytes(32), {
      aad: randomBytes(32),
      segmentBytes: SEGMENT_BYTES + OVERHEAD_BYTES,
    });
    return new FloeSegments(keys);
  };
  const count = plaintext.length / SEGMENT_BYTES;
  const eachOf = (work) =>
    Array.from({ length: count }, (_, position) => work({ position, isLast: position === count - 1 }));
  const piece = (bytes, { position }, length) => bytes.subarray(position * length, (position + 1) * length);
  const sealing = segments();
  const sealed = eachOf((segment) => sealing.seal(segment, piece(plaintext, segment, SEGMENT_BYTES)));
  return {
    encrypt() {
      const fresh = segments();
      giveBack(eachOf((segment) => fresh.sealSlices(segment, piece(plaintext, segment, SEGMENT_BYTES))));
      fresh.close();
    },
    decrypt() {
      giveBack(eachOf((segment) => sealing.openSlices(segment, sealed[segment.position])));
    },
  };
}

/** What is done with a result that was written or given on, everywhere in the package. */
function giveBack(result) {
  for (const slices of result) releaseMemory(slices);
}

async function typage(plaintext) {
  const age = await peer("age-encryption");
  if (age === undefined) return undefined;
  const identity = await age.generateIdentity();
  const encrypter = new age.Encrypter();
  encrypter.addRecipient(await age.identityToRecipient(identity));
  const decrypter = new age.Decrypter();
  decrypter.addIdentity(identity);
  const sealed = await encrypter.encrypt(plaintext);
  return { encrypt: () => encrypter.encrypt(plaintext), decrypt: () => decrypter.decrypt(sealed) };
}

async function awsEncryptionSdk(plaintext, options) {
  const aws = await peer("@aws-crypto/client-node");
  if (aws === undefined) return undefined;
  const { CommitmentPolicy, RawAesKeyringNode, RawAesWrappingSuiteIdentifier } = aws;
  const { encrypt, decrypt } = aws.buildClient(CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT);
  const keyring = new RawAesKeyringNode({
    keyName: "bench",
    keyNamespace: "bench",
    unencryptedMasterKey: randomBytes(32),
    wrappingSuite: RawAesWrappingSuiteIdentifier.AES256_GCM_IV12_TAG16_NO_PADDING,
  });
  const { result } = await encrypt(keyring, Buffer.from(plaintext), options);
  return {
    encrypt: () => encrypt(keyring, plaintext, options),
    decrypt: () => decrypt(keyring, result),
  };
}
