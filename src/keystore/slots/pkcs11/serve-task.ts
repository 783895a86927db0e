/**
 * One task of the token helper from the module's start to its end, with what went wrong put into a message. Runs in the
 * helper's process.
 * @module
 */
import { CKF, Cryptoki, CryptokiError } from "./cryptoki.ts";
import { HelperContext, HelperError, type HelperPort } from "./helper-context.ts";
import type { HelperFailure, HelperRequest, HelperStage } from "./helper-protocol.ts";
import { goesAway, pinBounds } from "./token-operation.ts";
import { performTask } from "./token-task.ts";

/**
 * GENERAL_ERROR, FUNCTION_FAILED, SLOT_ID_INVALID, DEVICE_ERROR, DEVICE_REMOVED, SESSION_CLOSED,
 * SESSION_HANDLE_INVALID, TOKEN_NOT_PRESENT, TOKEN_NOT_RECOGNIZED: what a pulled token looks like.
 */
const MAY_BE_GONE: ReadonlySet<number> = new Set([0x5, 0x6, 0x3, 0x30, 0x32, 0xb0, 0xb3, 0xe0, 0xe1]);
const MAX_LOADER_TEXT = 200;

/** Performs one task, and says how it ended. Never rejects for what the module does. */
export async function serveTask(
  port: HelperPort,
  { module, moduleParameters, criteria, task }: HelperRequest,
): Promise<void> {
  let stage: HelperStage = "binding";
  let context: HelperContext | undefined;
  try {
    const imported = await import("pkcs11js");
    stage = "load";
    const cryptoki = new Cryptoki(imported.default ?? imported, module);
    stage = "init";
    cryptoki.initialize(moduleParameters);
    context = new HelperContext(cryptoki, port);
    await performTask(context, criteria, task);
  } catch (error) {
    await port.send(await failureOf(error, context?.stage ?? stage, context));
  } finally {
    end(context);
    await port.send({ kind: "ended" });
  }
}

/** A card stays open to every local process until it is told otherwise: also after a failure. */
function end(context: HelperContext | undefined): void {
  if (context === undefined) return;
  const { cryptoki, token, isLoggedIn } = context;
  for (const step of [
    () => (isLoggedIn && token !== undefined ? cryptoki.logout(token.session) : undefined),
    () => (token === undefined ? undefined : cryptoki.closeSession(token.session)),
    () => cryptoki.finalize(),
  ]) {
    try {
      step();
    } catch {
      // The answer is out; what can still be done is done.
    }
  }
}

async function failureOf(
  error: unknown,
  stage: HelperStage,
  context: HelperContext | undefined,
): Promise<HelperFailure> {
  const failed = { kind: "failed", stage, token: context?.token?.facts } as const;
  if (stage === "binding") return { ...failed, problem: bindingProblem(error) };
  if (error instanceof HelperError)
    return { ...failed, problem: error.problem, seen: error.seen, ...pinFacts(context) };
  if (!(error instanceof CryptokiError)) {
    const text = error instanceof Error ? (error.message.split("\n")[0] ?? "") : "";
    return { ...failed, loader: text.slice(0, MAX_LOADER_TEXT) };
  }
  const { ckr, call } = error;
  const started = context?.operationStartedMs;
  const elapsedMs = started === undefined ? undefined : Math.round(performance.now() - started);
  const token = stage === "login" || stage === "operate" ? context?.token : undefined;
  const isRemoved =
    context !== undefined && token !== undefined && (ckr === undefined || MAY_BE_GONE.has(ckr))
      ? await goesAway(context.cryptoki, token)
      : false;
  return { ...failed, ckr, call, elapsedMs, isRemoved, ...pinFacts(context) };
}

/** Read again: the number alone does not say whether that was the last try. */
function pinFacts(context: HelperContext | undefined): Partial<HelperFailure> {
  if (context?.token === undefined || context.stage !== "login") return {};
  const { cryptoki, token } = context;
  try {
    const raw = cryptoki.tokenInfo(token.slot);
    const { flags } = raw;
    const { minBytes, maxBytes } = pinBounds(raw);
    return {
      isLow: (flags & CKF.pinCountLow) !== 0,
      isFinalTry: (flags & CKF.pinFinalTry) !== 0,
      isLocked: (flags & CKF.pinLocked) !== 0,
      minPinBytes: minBytes,
      maxPinBytes: maxBytes,
    };
  } catch {
    return {};
  }
}

function bindingProblem(error: unknown): "binding-absent" | "binding-not-built" {
  const { code } = error as { readonly code?: unknown };
  return code === "ERR_MODULE_NOT_FOUND" ? "binding-absent" : "binding-not-built";
}
