/**
 * Tasks of the token helper against the stub module: the software halves of its keys, and what each task must answer.
 * @module
 */
import { constants, createECDH, generateKeyPairSync, privateDecrypt, randomBytes } from "node:crypto";
import type { CofferError } from "../../src/errors.ts";
import {
  newExchange,
  type TokenExchange,
  tokenKeyOfPoint,
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
import type {
  HelperTask,
  TokenCriteria,
  TokenTarget,
} from "../../src/keystore/slots/pkcs11/helper-protocol.ts";
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

/** A key of a token, and what its private half makes of another exchange. */
export interface AgreeingKey extends PreparedKey {
  readonly agree: (exchange: Uint8Array) => Uint8Array;
}

export function ecKey(id: string): AgreeingKey {
  const half = createECDH("prime256v1");
  half.generateKeys();
  const publicKey = tokenKeyOfPoint(half.getPublicKey());
  if (publicKey === undefined) throw new Error("the key is of no kind that a slot takes");
  const { exchange, secret } = newExchange(publicKey, randomBytes(32));
  const key: StubKey = { kind: "ec", id, point: half.getPublicKey(), z: secret };
  return { key, publicKey, exchange, secret, agree: (point) => half.computeSecret(point) };
}

/** A key whose token does RSA both ways. */
export function rsaKey(id: string): PreparedKey {
  const { publicKey, privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const known = tokenKeyOfSpki(publicKey.export({ format: "der", type: "spki" }));
  if (known === undefined) throw new Error("the key is of no kind that a slot takes");
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
      oaep: random,
      raw,
    },
    publicKey: known,
    exchange,
    secret: random,
  };
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
  readonly keyId?: string | undefined;
  readonly label?: string | undefined;
}

/** Runs a task in a real helper process. */
export function runTask(
  { module }: StubModule,
  task: HelperTask,
  { talk = {}, timeoutMs = 20_000, signal, keyId, label }: TaskOptions = {},
): Promise<HelperResult> {
  const criteria = criteriaOf({ keyId, label });
  return runHelper({ module, criteria, timeoutMs, script: HELPER }, task, { pin: givePin, ...talk }, signal);
}

/**
 * Runs a task in this process, by the same code that the helper's process runs, for hundreds of them in a few seconds.
 * A helper's process is in between only in {@link runTask}.
 */
export async function runTaskHere(
  { module }: StubModule,
  task: HelperTask,
  { talk = {}, keyId, label }: TaskOptions = {},
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
        const pin = talk.pin ?? givePin;
        replies.push({ kind: "pin", pin: await pin(message, new AbortController().signal) });
      } else if (message.kind !== "operating" && message.kind !== "ended") result = message;
    },
  };
  await serveTask(port, { module, criteria: criteriaOf({ keyId, label }), task });
  if (failure !== undefined) throw failure;
  if (result === undefined) throw new Error("the helper ended without an answer");
  return result;
}

function givePin(): Promise<Uint8Array> {
  return Promise.resolve(Buffer.from(STUB_PIN));
}

function criteriaOf({ keyId, label }: Pick<TaskOptions, "keyId" | "label">): TokenCriteria {
  return {
    ...(keyId !== undefined && { keyId: Buffer.from(keyId, "hex") }),
    ...(label !== undefined && { label }),
  };
}

/** Unlocks with one key. */
export function unlockTask(prepared: PreparedKey): HelperTask {
  return { kind: "unlock", targets: [targetOf(prepared)], wanted: 0 };
}
