/**
 * The token slot: a key pair whose private half never leaves a hardware token. The slot holds what the public key made;
 * only the token makes the secret of it again.
 * Source: docs/format.md#token-slots [F-145…F-149], [F-168].
 * @module
 */
import { copy, equal } from "../../../bytes.ts";
import { randomKey } from "../../../crypto/random.ts";
import {
  isExchangeFor,
  newExchange,
  type TokenExchange,
  type TokenPublicKey,
  tokenKeyOfSpki,
} from "../../../crypto/token-public-key.ts";
import { InvalidArgumentError } from "../../../errors.ts";
import type { ParsedSlot } from "../../../formats/header.ts";
import type { TokenFields } from "../../../formats/slot-header.ts";
import { redact, Secret, wipe } from "../../../secret.ts";
import { type Enrolment, type Unlocker, usedTwice, WayIn, type WayInContext } from "../way-in.ts";
import { type FoundMessage, type HelperSettings, type HelperTalk, runHelper } from "./helper-process.ts";
import type { PinQuestion, TokenFacts, TokenTarget } from "./helper-protocol.ts";
import { damaged, finalTry, noSlot, notFound, unnamed, unsuitable, wrongAnswer } from "./slot-failures.ts";
import { errorOf } from "./token-errors.ts";
import { keySettings, type PinCallback, pinBytes, type Pkcs11Options } from "./token-options.ts";

const FACTORY_PIN: Uint8Array = Uint8Array.of(0x31, 0x32, 0x33, 0x34, 0x35, 0x36);
const PIV_MAKERS = /^(?:Yubico|piv_II)/u;
const MAX_HINT_CHARACTERS = 64;

interface TokenUse {
  readonly settings: HelperSettings;
  readonly pin: Secret | PinCallback | undefined;
  readonly options: Pick<Pkcs11Options, "signal" | "trial" | "onOperating" | "onWaiting">;
}

class TokenWayIn extends WayIn {
  readonly kind = "pkcs11";
  #use: TokenUse | undefined;
  /** All slots that may be tried: one look at the tokens answers for all of them. */
  #targets: readonly TokenFields[] = [];
  /** Indexes of those whose public key was seen, once somebody has looked. */
  #present: ReadonlySet<number> | undefined;
  #seen: readonly string[] = [];
  #attempts = 0;

  constructor(use: TokenUse) {
    super();
    this.#use = use;
  }

  override prepare(slots: readonly ParsedSlot[], context: WayInContext): void {
    this.#own();
    this.#targets = slots.map((slot) => fieldsOf(slot)).filter(isSound);
    this.#present = undefined;
    if (slots.length === 0) throw noSlot(context);
  }

  override async secretFor(slot: ParsedSlot, context: WayInContext): Promise<Uint8Array> {
    const { criteria } = this.#own().settings;
    const fields = fieldsOf(slot);
    const wanted = this.#targets.findIndex(isTargetOf(fields));
    if (wanted === -1) throw damaged();
    const isAes = fields.algorithm === "aes-256-gcm";
    // An AES key shows itself only after the login, and who wrote the header must not choose who gets the PIN.
    if (isAes && criteria.label === undefined && criteria.serial === undefined) throw unnamed();
    if (!isAes && this.#present?.has(wanted) === false) throw notFound(this.#seen);
    const targets = this.#targets.map(targetOf);
    const result = await this.#run({ kind: "unlock", targets, wanted }, context, "unlock");
    if (result.kind === "secret") return result.secret;
    if (result.kind !== "absent") throw wrongAnswer();
    if (!isAes) {
      this.#present = new Set(result.present);
      this.#seen = result.seen;
    }
    throw notFound(result.seen);
  }

  /** The public key was the right one, and the PIN too: it is not a wrong secret. */
  override refusal(): Error {
    return wrongAnswer();
  }

  override async enroll(context: WayInContext): Promise<Enrolment> {
    const random = randomKey();
    const forAes = randomKey();
    let made: (TokenExchange & { readonly key: TokenPublicKey }) | undefined;
    let found: FoundMessage | undefined;
    try {
      const task = { kind: "enroll", secret: forAes } as const;
      const result = await this.#run(task, context, "enroll", (message) => {
        const key = knownKey(message.spki);
        if (key === undefined) throw unsuitable();
        found = message;
        made = { key, ...newExchange(key, random) };
        return this.#own().options.trial === false ? undefined : made.exchange;
      });
      if (result.kind === "wrapped") {
        const { exchange, objectId, token } = result;
        const fields = { algorithm: "aes-256-gcm", spki: new Uint8Array(), objectId, exchange } as const;
        return { fields: { kind: "pkcs11", ...fields, ...hintsOf(token) }, secret: copy(forAes) };
      }
      if (made === undefined || found === undefined) throw wrongAnswer();
      if (result.kind === "secret") {
        const isRight = equal(result.secret, made.secret);
        wipe(result.secret);
        if (!isRight) throw unsuitable();
      } else if (result.kind !== "found") throw wrongAnswer();
      const { key, exchange } = made;
      const fields = { algorithm: key.kind, spki: key.spki, objectId: found.objectId, exchange } as const;
      return { fields: { kind: "pkcs11", ...fields, ...hintsOf(found.token) }, secret: copy(made.secret) };
    } finally {
      wipe(random, forAes, made?.secret);
    }
  }

  override wipe(): void {
    const { pin } = this.#use ?? {};
    if (pin instanceof Secret) pin.wipe();
    this.#use = undefined;
  }

  static {
    redact(this, "[Token]");
  }

  #own(): TokenUse {
    if (this.#use === undefined) throw usedTwice();
    return this.#use;
  }

  async #run(
    task: Parameters<typeof runHelper>[1],
    { signal, warn }: WayInContext,
    reason: "unlock" | "enroll",
    found?: HelperTalk["found"],
  ): Promise<Awaited<ReturnType<typeof runHelper>>> {
    const { settings, options } = this.#own();
    const signals = [signal, options.signal].filter((each) => each !== undefined);
    let hasFactoryPin = false;
    const talk: HelperTalk = {
      pin: async (question, unneeded) => {
        const pin = await this.#askPin(question, reason, unneeded);
        hasFactoryPin = equal(pin, FACTORY_PIN) && PIV_MAKERS.test(question.token.manufacturer);
        return pin;
      },
      ...(found !== undefined && { found }),
      ...(options.onOperating !== undefined && { operating: options.onOperating }),
      ...(options.onWaiting !== undefined && { waiting: options.onWaiting }),
    };
    const result = await runHelper(
      settings,
      task,
      talk,
      signals.length === 0 ? undefined : AbortSignal.any(signals),
    );
    const mustChange = (result.kind === "secret" || result.kind === "wrapped") && result.mustChangePin;
    if (mustChange || hasFactoryPin) {
      warn("The token has the PIN that it was delivered with: whoever finds it can use it. Change the PIN.");
    }
    return result;
  }

  async #askPin(
    question: PinQuestion,
    reason: "unlock" | "enroll",
    unneeded: AbortSignal,
  ): Promise<Uint8Array> {
    const { pin } = this.#own();
    const { token, isLow, isFinalTry, minBytes, maxBytes } = question;
    this.#attempts += 1;
    if (pin === undefined) {
      throw new InvalidArgumentError(
        "The token wants a PIN. Give pkcs11(…) the option pin: a function that asks for it.",
        {
          details: { reason: "pin" },
        },
      );
    }
    if (pin instanceof Secret) {
      if (isFinalTry) throw finalTry(token);
      return checkedLength(copy(pin.bytes), question);
    }
    const request = {
      token,
      attempt: this.#attempts,
      low: isLow || isFinalTry,
      finalTry: isFinalTry,
      minLength: minBytes,
      maxLength: maxBytes,
      reason: this.#attempts > 1 ? "again" : reason,
    } as const;
    const answer = await pin(request, unneeded);
    if (answer === null) throw errorOf("COFFER_ABORTED", "The PIN was not given. No try was used.");
    const bytes = pinBytes(answer);
    if (answer instanceof Uint8Array) wipe(answer);
    return checkedLength(bytes, question);
  }
}

/**
 * Unlocks, or makes a slot, with a key on a hardware token: P-256, P-384 or RSA of 2,048, 3,072 or 4,096 bits, or
 * AES-256 on an HSM. Needs the package `pkcs11js` and the token's PKCS#11 module, which runs in a process of its own.
 * The token is recognised by its public key before a PIN is asked for, and is given one PIN, once.
 *
 * Alone it vouches for nobody: a slot needs the public key alone, so who can write the vault's directory can put a
 * vault of his own there that the same token opens. Open with an anchor, or use `combined(passphrase(…), pkcs11(…))`.
 * @throws TypeError for a wrong option. @throws InvalidArgumentError reason `module-path`, `token-uri` or `pin`. Later,
 *   when it opens a vault, TokenError with a `COFFER_PKCS11_…`, `COFFER_TOKEN_…` or `COFFER_PIN_…` code.
 * @example
 * pkcs11({ module: "/usr/lib/x86_64-linux-gnu/libykcs11.so", pin: ({ token }) => askPin(token.label) })
 */
export function pkcs11(options: Pkcs11Options): Unlocker {
  return pkcs11With(options, {});
}

/** {@link pkcs11} with a helper of another place. Not exported by the package. */
export function pkcs11With(options: Pkcs11Options, own: Pick<HelperSettings, "script">): Unlocker {
  const settings = { ...keySettings(options), ...own };
  const { pin, signal, trial, onOperating, onWaiting } = options;
  return new TokenWayIn({
    settings,
    pin: typeof pin === "function" || pin === undefined ? pin : new Secret(pinBytes(pin)),
    options: { signal, trial, onOperating, onWaiting },
  });
}

/** Checked here too: nothing leaves this process that can only be refused. */
function checkedLength(pin: Uint8Array, { minBytes, maxBytes, token }: PinQuestion): Uint8Array {
  if (pin.length >= minBytes && pin.length <= (maxBytes ?? pin.length)) return pin;
  wipe(pin);
  const bounds = maxBytes === undefined ? `at least ${minBytes}` : `${minBytes} to ${maxBytes}`;
  throw errorOf("COFFER_PIN_LENGTH", `The PIN must have ${bounds} bytes for this token. No try was used.`, {
    minBytes,
    ...(maxBytes !== undefined && { maxBytes }),
    tokenLabel: token.label,
  });
}

function fieldsOf({ header }: ParsedSlot): TokenFields {
  if (header.fields.kind === "pkcs11") return header.fields;
  throw new TypeError(`slot: expected a token slot, got ${header.fields.kind}`);
}

/** A header is hostile until it authenticates: a token is shown only what it may be shown [F-145] [F-147]. */
function isSound({ algorithm, spki, exchange }: TokenFields): boolean {
  if (algorithm === "aes-256-gcm") return spki.length === 0;
  const key = knownKey(spki);
  return key?.kind === algorithm && equal(key.spki, spki) && isExchangeFor(key, exchange);
}

function targetOf({ algorithm, spki, objectId, label, serial, exchange }: TokenFields): TokenTarget {
  return { algorithm, spki, objectId, label, serial, exchange };
}

function isTargetOf(fields: TokenFields): (target: TokenFields) => boolean {
  return ({ exchange, spki }) => equal(exchange, fields.exchange) && equal(spki, fields.spki);
}

function knownKey(spki: Uint8Array): TokenPublicKey | undefined {
  try {
    return tokenKeyOfSpki(spki);
  } catch {
    return undefined;
  }
}

/** For people: nothing is ever decided by them but the order of a search, and for AES the token. */
function hintsOf({
  label,
  serial,
  manufacturer,
  model,
}: TokenFacts): Pick<TokenFields, "label" | "serial" | "manufacturer" | "model"> {
  const [l, s, ma, mo] = [label, serial, manufacturer, model].map((text) =>
    text.slice(0, MAX_HINT_CHARACTERS).toWellFormed(),
  );
  return { label: l ?? "", serial: s ?? "", manufacturer: ma ?? "", model: mo ?? "" };
}
