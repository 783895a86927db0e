/**
 * What one task of the token helper carries along: how far it is, and its line to the vault's process.
 * @module
 */
import type { Cryptoki } from "./cryptoki.ts";
import type {
  HelperMessage,
  HelperReply,
  HelperStage,
  PinQuestion,
  TokenFacts,
  TokenProblem,
} from "./helper-protocol.ts";
import type { FoundToken } from "./token-search.ts";

/** Found wrong without a number of the module's. */
export class HelperError extends Error {
  override readonly name = "HelperError";
  readonly problem: TokenProblem;
  readonly seen: readonly string[] | undefined;

  constructor(problem: TokenProblem, seen?: readonly string[]) {
    super(problem);
    this.problem = problem;
    this.seen = seen;
  }
}

/** The two ends that a helper may hang on: a process's channel, or Electron's port. */
export interface HelperPort {
  /** Resolves when the message is on its way: a call of the module may block everything after it. */
  send(message: HelperMessage): Promise<void>;
  /** The next message of the parent. */
  receive(): Promise<unknown>;
}

export interface PinAnswer {
  readonly pin: Uint8Array;
}

export class HelperContext {
  readonly cryptoki: Cryptoki;
  readonly #port: HelperPort;
  stage: HelperStage = "find";
  /** The one whose PIN was asked, or is about to be. */
  token: FoundToken | undefined;
  isLoggedIn = false;
  operationStartedMs: number | undefined;

  constructor(cryptoki: Cryptoki, port: HelperPort) {
    this.cryptoki = cryptoki;
    this.#port = port;
  }

  send(message: HelperMessage): Promise<void> {
    return this.#port.send(message);
  }

  /** @throws HelperError where the parent has no PIN to give: it ends this process anyway. */
  async askPin(question: Omit<PinQuestion, "kind">): Promise<PinAnswer> {
    await this.send({ kind: "pin", ...question });
    const reply = await this.#reply("pin");
    if (reply.pin === undefined) throw new HelperError("malformed");
    return { pin: reply.pin };
  }

  /** The exchange to try; `undefined` where the caller wants no trial. */
  async askExchange(): Promise<Uint8Array | undefined> {
    return (await this.#reply("exchange")).exchange;
  }

  async beginOperation(token: TokenFacts): Promise<void> {
    await this.send({ kind: "operating", token });
    this.operationStartedMs = performance.now();
  }

  async #reply<Kind extends HelperReply["kind"]>(kind: Kind): Promise<Extract<HelperReply, { kind: Kind }>> {
    const message = (await this.#port.receive()) as HelperReply;
    if (message.kind !== kind) throw new HelperError("malformed");
    return message as Extract<HelperReply, { kind: Kind }>;
  }
}
