/**
 * The three tasks of a token helper: to list tokens, to unlock a slot, to enrol a key. Runs in the helper's process.
 * @module
 */
import { equal } from "../../../bytes.ts";
import { wipe } from "../../../secret.ts";
import { CKF, CKM } from "./cryptoki.ts";
import { type HelperContext, HelperError } from "./helper-context.ts";
import type { HelperTask, ListedToken, TokenCriteria, TokenTarget } from "./helper-protocol.ts";
import { decryptWithAes, encryptWithAes, login, operate } from "./token-operation.ts";
import {
  type FoundKey,
  type FoundToken,
  locateTargets,
  publicKeysOfAll,
  searchTokens,
  type TokensSeen,
} from "./token-search.ts";

const MAX_LISTED = 256;

/** Performs one task. What it finds wrong, it throws. */
export async function performTask(
  context: HelperContext,
  criteria: TokenCriteria,
  task: HelperTask,
): Promise<void> {
  if (task.kind === "list") return listTokens(context, criteria);
  return task.kind === "enroll" ? enroll(context, criteria, task.secret) : unlock(context, criteria, task);
}

async function listTokens(context: HelperContext, criteria: TokenCriteria): Promise<void> {
  const { cryptoki } = context;
  const { seen } = await searchTokens(cryptoki, criteria, (seen) =>
    seen.tokens.length > 0 ? seen : undefined,
  );
  const keys = publicKeysOfAll(cryptoki, seen, criteria).slice(0, MAX_LISTED);
  const tokens = seen.tokens.map((token): ListedToken => {
    const { flags } = token.raw;
    const mechanisms = cryptoki.mechanisms(token.slot);
    return {
      token: token.facts,
      needsPin: (flags & CKF.loginRequired) !== 0,
      isLow: (flags & CKF.pinCountLow) !== 0,
      isFinalTry: (flags & CKF.pinFinalTry) !== 0,
      isLocked: (flags & CKF.pinLocked) !== 0,
      isInitialized: true,
      canAgree: mechanisms.has(CKM.ecdh1Derive),
      canOaep: mechanisms.has(CKM.rsaOaep),
      canRawRsa: mechanisms.has(CKM.rsaX509),
      canGcm: mechanisms.has(CKM.aesGcm),
      keys: keys
        .filter((key) => key.token === token)
        .map(({ objectId, label, publicKey, fromCertificate }) => ({
          objectId,
          label,
          spki: publicKey?.spki,
          hasCertificate: fromCertificate,
        })),
    };
  });
  if (tokens.length === 0) assertReadable(seen);
  await context.send({ kind: "tokens", tokens });
}

async function unlock(
  context: HelperContext,
  criteria: TokenCriteria,
  { targets, wanted }: Extract<HelperTask, { kind: "unlock" }>,
): Promise<void> {
  const target = targets[wanted];
  if (target === undefined) throw new HelperError("malformed");
  if (target.algorithm === "aes-256-gcm") return unlockWithAes(context, criteria, target);
  const { cryptoki } = context;
  const { chosen, seen } = await searchTokens(cryptoki, criteria, (seen) => {
    const found = locateTargets(cryptoki, seen, targets, criteria);
    return found.size > 0 ? found : undefined;
  });
  const key = chosen?.get(wanted);
  if (chosen === undefined) assertToken(seen);
  if (key === undefined) {
    return context.send({ kind: "absent", present: [...(chosen?.keys() ?? [])], seen: seen.labels });
  }
  const { token, objectId, publicKey } = key;
  if (publicKey === undefined) throw new HelperError("unsuitable-key");
  await login(context, token);
  const secret = await operate(context, token, publicKey, objectId, target.exchange);
  await sendSecret(context, token, secret);
}

/** An AES key shows nothing before the login: the token is the one that the caller named and the slot remembers. */
async function unlockWithAes(
  context: HelperContext,
  criteria: TokenCriteria,
  target: TokenTarget,
): Promise<void> {
  const { chosen, seen } = await searchTokens(context.cryptoki, criteria, ({ tokens }) => {
    const same = tokens.filter(({ facts }) => facts.label === target.label && facts.serial === target.serial);
    return same.length > 0 ? same : undefined;
  });
  if (chosen === undefined) {
    assertToken(seen);
    return context.send({ kind: "absent", present: [], seen: seen.labels });
  }
  const token = onlyToken(chosen, seen);
  await login(context, token);
  await sendSecret(context, token, await decryptWithAes(context, token, target.objectId, target.exchange));
}

async function enroll(context: HelperContext, criteria: TokenCriteria, secret: Uint8Array): Promise<void> {
  const { cryptoki } = context;
  const { chosen, seen } = await searchTokens(cryptoki, criteria, (seen) => {
    const keys = publicKeysOfAll(cryptoki, seen, criteria);
    return keys.length > 0 ? keys : undefined;
  });
  if (chosen === undefined) {
    assertToken(seen);
    return enrollAes(context, onlyToken(seen.tokens, seen), criteria, secret);
  }
  const { token, objectId, publicKey } = onlyKey(chosen, seen);
  if (publicKey === undefined) throw new HelperError("unsuitable-key", seen.labels);
  context.token = token;
  await context.send({ kind: "found", token: token.facts, spki: publicKey.spki, objectId });
  const exchange = await context.askExchange();
  // Without a trial nobody is asked for anything.
  if (exchange === undefined) return;
  await login(context, token);
  await sendSecret(context, token, await operate(context, token, publicKey, objectId, exchange));
}

async function enrollAes(
  context: HelperContext,
  token: FoundToken,
  { keyId }: TokenCriteria,
  secret: Uint8Array,
): Promise<void> {
  // Else any token would be asked for its PIN, to find nothing.
  const canServe = keyId !== undefined && context.cryptoki.mechanisms(token.slot).has(CKM.aesGcm);
  if (!canServe) throw new HelperError("no-key", [token.facts.label]);
  await login(context, token);
  const wrapped = await encryptWithAes(context, token, keyId, secret);
  wipe(secret);
  const mustChangePin = (token.raw.flags & CKF.pinToBeChanged) !== 0;
  await context.send({ kind: "wrapped", ...wrapped, token: token.facts, mustChangePin });
}

async function sendSecret(context: HelperContext, token: FoundToken, secret: Uint8Array): Promise<void> {
  const mustChangePin = (token.raw.flags & CKF.pinToBeChanged) !== 0;
  try {
    await context.send({ kind: "secret", secret, token: token.facts, mustChangePin });
  } finally {
    wipe(secret);
  }
}

/** @throws CryptokiError of what could not be looked at; HelperError where there is no token. */
function assertToken(seen: TokensSeen): void {
  assertReadable(seen);
  if (seen.tokens.length > 0) return;
  throw new HelperError(seen.labels.length > 0 ? "no-key" : "no-token", seen.labels);
}

/** What was not found may be where nobody could look. */
function assertReadable({ failures: [failure] }: TokensSeen): void {
  if (failure !== undefined) throw failure;
}

function onlyToken(tokens: readonly FoundToken[], seen: TokensSeen): FoundToken {
  const [token] = tokens;
  if (token === undefined) throw new HelperError("no-key", seen.labels);
  if (tokens.length > 1) throw new HelperError("ambiguous-token", seen.labels);
  return token;
}

/** The one that a slot can take; where several fit, the caller must say which, as each may be for something else. */
function onlyKey(keys: readonly FoundKey[], seen: TokensSeen): FoundKey {
  const suitable = keys.filter(({ publicKey }) => publicKey !== undefined);
  const [key] = suitable;
  if (key === undefined) throw new HelperError("unsuitable-key", seen.labels);
  const others = suitable.filter(
    ({ publicKey }) => !equal(publicKey?.spki ?? new Uint8Array(), key.publicKey?.spki ?? new Uint8Array()),
  );
  if (others.length === 0) return key;
  const tokens = new Set(suitable.map(({ token }) => token));
  throw new HelperError(tokens.size > 1 ? "ambiguous-token" : "ambiguous-key", seen.labels);
}
