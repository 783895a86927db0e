/**
 * Tasks of the token helper against the stub module: the software halves of its keys, and what each task must answer.
 * @module
 */
import { constants, generateKeyPairSync, type KeyObject, privateDecrypt, randomBytes } from "node:crypto";
import type { CofferError } from "../../src/errors.ts";
import {
  newExchange,
  type TokenExchange,
  tokenKeyOfSpki,
  type TokenPublicKey,
} from "../../src/crypto/token-public-key.ts";
import {
  type HelperResult,
  type HelperTalk,
  runHelper,
} from "../../src/keystore/slots/pkcs11/helper-process.ts";
import type { HelperPort } from "../../src/keystore/slots/pkcs11/helper-context.ts";
import { helperMessage } from "../../src/keystore/slots/pkcs11/helper-message.ts";
import { serveTask } from "../../src/keystore/slots/pkcs11/serve-task.ts";
import { tokenError } from "../../src/keystore/slots/pkcs11/token-errors.ts";
import type { HelperTask, TokenTarget } from "../../src/keystore/slots/pkcs11/helper-protocol.ts";
import { HELPER } from "../keystore/slots/pkcs11/token-ground.ts";
import type { StubKey, StubModule, StubToken } from "./stub-module.ts";

export const STUB_PIN = "123456";

/** A key of the stub module, and the exchange that it is to be given. */
export interface PreparedKey {
  readonly key: StubKey;
  readonly publicKey: TokenPublicKey;
  readonly exchange: Uint8Array;
  /** What the task answers. */
  readonly secret: Uint8Array;
}

export function ecKey(id: string): PreparedKey {
  const { publicKey } = generateKeyPairSync("ec", { namedCurve: "prime256v1" });
  const known = tokenKey(publicKey);
  const { exchange, secret } = newExchange(known, randomBytes(32));
  return {
    key: { kind: "ec", id, point: known.spki.subarray(-65), z: secret },
    publicKey: known,
    exchange,
    secret,
  };
}

/** @param mechanisms what the token offers of RSA */
export function rsaKey(id: string, mechanisms: "oaep" | "raw" | "both" = "both"): PreparedKey {
  const { publicKey, privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const known = tokenKey(publicKey);
  const random = randomBytes(32);
  const { exchange }: TokenExchange = newExchange(known, random);
  const { n = "", e = "" } = publicKey.export({ format: "jwk" });
  const raw = privateDecrypt({ key: privateKey, padding: constants.RSA_NO_PADDING }, exchange);
  return {
    key: {
      kind: "rsa",
      id,
      modulus: Buffer.from(n, "base64url"),
      exponent: Buffer.from(e, "base64url"),
      ...(mechanisms !== "raw" && { oaep: random }),
      ...(mechanisms !== "oaep" && { raw }),
    },
    publicKey: known,
    exchange,
    secret: random,
  };
}

function tokenKey(key: KeyObject): TokenPublicKey {
  const known = tokenKeyOfSpki(key.export({ format: "der", type: "spki" }));
  if (known === undefined) throw new Error("the key is of no kind that a slot takes");
  return known;
}

/** One token with these keys. */
export function tokenWith(label: string, ...keys: readonly PreparedKey[]): StubToken {
  return { label, pin: STUB_PIN, keys: keys.map(({ key }) => key) };
}

export function targetOf({ key, publicKey, exchange }: PreparedKey, label = ""): TokenTarget {
  return {
    algorithm: publicKey.kind,
    spki: publicKey.spki,
    exchange,
    objectId: Buffer.from(key.id, "hex"),
    label,
    serial: label,
  };
}

export interface TaskOptions {
  readonly talk?: Partial<HelperTalk>;
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
  readonly keyId?: string;
  readonly label?: string;
}

/** Runs a task in a real helper process. */
export function runTask(
  { module }: StubModule,
  task: HelperTask,
  { talk = {}, timeoutMs = 20_000, signal, keyId, label }: TaskOptions = {},
): Promise<HelperResult> {
  const pin = (): Promise<Uint8Array> => Promise.resolve(Buffer.from(STUB_PIN));
  const criteria = {
    ...(keyId !== undefined && { keyId: Buffer.from(keyId, "hex") }),
    ...(label !== undefined && { label }),
  };
  return runHelper({ module, criteria, timeoutMs, script: HELPER }, task, { pin, ...talk }, signal);
}

/**
 * Runs a task in this process, by the same code that the helper's process runs, for hundreds of them in a few seconds.
 * A helper's process is in between only in {@link runTask}.
 */
export async function runTaskHere(
  { module }: StubModule,
  task: HelperTask,
  { talk = {}, keyId }: TaskOptions = {},
): Promise<HelperResult> {
  const replies: unknown[] = [];
  let failure: CofferError | undefined;
  let result: HelperResult | undefined;
  const port: HelperPort = {
    receive: () => Promise.resolve(replies.shift()),
    send: async (sent) => {
      const message = helperMessage(structuredClone(sent));
      if (message === undefined) throw new Error("the helper said something that it never says");
      if (message.kind === "failed") failure = tokenError(message);
      else if (message.kind === "pin") {
        replies.push({ kind: "pin", pin: await talk.pin?.(message, new AbortController().signal) });
      } else if (message.kind !== "operating" && message.kind !== "ended") result = message;
    },
  };
  const criteria = keyId === undefined ? {} : { keyId: Buffer.from(keyId, "hex") };
  await serveTask(port, { module, criteria, task });
  if (failure !== undefined) throw failure;
  if (result === undefined) throw new Error("the helper ended without an answer");
  return result;
}

/** Unlocks with one key. */
export function unlockTask(prepared: PreparedKey): HelperTask {
  return { kind: "unlock", targets: [targetOf(prepared)], wanted: 0 };
}
