/**
 * The stub module of a test: its tokens, what goes wrong at which call, and the calls that were made. Every instance is
 * a file of its own in a folder of its own, so that the state of one is not the state of another, in one process too.
 * @module
 */
// All at once: hundreds of them are made in a second.
import { copyFileSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { builtStubModule } from "./token-software.ts";

/** The calls that the token helper makes. */
export const STUB_CALLS = [
  "C_Initialize",
  "C_GetSlotList",
  "C_GetSlotInfo",
  "C_GetTokenInfo",
  "C_GetMechanismList",
  "C_OpenSession",
  "C_FindObjectsInit",
  "C_FindObjects",
  "C_FindObjectsFinal",
  "C_GetAttributeValue",
  "C_Login",
  "C_DeriveKey",
  "C_DestroyObject",
  "C_DecryptInit",
  "C_Decrypt",
  "C_EncryptInit",
  "C_Encrypt",
  "C_Logout",
  "C_CloseSession",
  "C_Finalize",
] as const;
export type StubCall = (typeof STUB_CALLS)[number];

export interface StubToken {
  readonly label: string;
  readonly serial?: string;
  readonly maker?: string;
  readonly model?: string;
  readonly reader?: string;
  readonly pin?: string;
  /** How many wrong PINs in a row lock it. @defaultValue 3 */
  readonly tries?: number;
  readonly minPinBytes?: number;
  readonly maxPinBytes?: number;
  /** @defaultValue initialised, with a PIN, login required */
  readonly flags?: number;
  /** @defaultValue true */
  readonly isPresent?: boolean;
  /** Whether the flags COUNT_LOW, and FINAL_TRY with LOCKED, are shown. @defaultValue true */
  readonly showsLow?: boolean;
  readonly showsFinal?: boolean;
  /** What the fields are filled up with: a blank or a zero. @defaultValue " " */
  readonly padding?: " " | "\0";
  /** What the wrong PIN that locks is answered with. @defaultValue PIN_LOCKED */
  readonly lockedCkr?: number;
  /** What a PIN of a wrong length is answered with, which uses no try. @defaultValue PIN_LEN_RANGE */
  readonly lengthCkr?: number;
  readonly keys?: readonly StubKey[];
}

interface NamedKey {
  /** CKA_ID in hexadecimal. */
  readonly id: string;
  readonly label?: string;
  /** False for a token that shows a key by its certificate alone. @defaultValue true */
  readonly showsPublic?: boolean;
  /** DER. */
  readonly certificate?: Uint8Array;
}

export type StubKey = NamedKey &
  (
    | { readonly kind: "ec"; readonly point: Uint8Array; readonly z: Uint8Array }
    | {
        readonly kind: "rsa";
        readonly modulus: Uint8Array;
        readonly exponent: Uint8Array;
        /** What OAEP answers; without it the mechanism is not there. */
        readonly oaep?: Uint8Array;
        /** What raw RSA answers; without it the mechanism is not there. */
        readonly raw?: Uint8Array;
      }
    | { readonly kind: "aes" }
  );

/** What happens at a call, or at its n-th in a process; several apply in their order until one answers. */
export interface StubRule {
  readonly call: StubCall;
  /** 1 for the first. Without it: every time. */
  readonly nth?: number;
  readonly does:
    | { readonly ckr: number }
    | { readonly delayMs: number }
    /** All cards are pulled, as seen after so many milliseconds. */
    | { readonly vanishAfterMs: number }
    | { readonly exit: number }
    | "hang"
    | "abort"
    | "segv";
}

export interface StubState {
  readonly tokens: readonly StubToken[];
  readonly rules?: readonly StubRule[];
}

/** One line of the log: a call begins, or ends with a number. */
export interface StubEntry {
  readonly pid: number;
  readonly call: string;
  /** `slot=0 length=6` and the like where it begins; never a PIN. */
  readonly details: string;
  /** Where it ends. */
  readonly ckr: number | undefined;
}

const KINDS = { ec: 3, rsa: 0, aes: 0x1f } as const;
/** CKF_LOGIN_REQUIRED, CKF_USER_PIN_INITIALIZED, CKF_TOKEN_INITIALIZED. */
export const USUAL_FLAGS = 0x40c;
const PIN_LEN_RANGE = 0xa2;
const PIN_LOCKED = 0xa4;

export class StubModule {
  /** What `pkcs11(…)` is given. */
  readonly module: string;
  #state: StubState;
  #written = 0;

  private constructor(module: string, state: StubState) {
    this.module = module;
    this.#state = state;
  }

  /** Makes one in a folder. @param name for several in one folder */
  static async make(folder: string, state: StubState, name = "stub"): Promise<StubModule> {
    const stub = new StubModule(join(folder, `${name}.so`), state);
    copyFileSync(await builtStubModule(), stub.module);
    stub.clear();
    stub.set({});
    return stub;
  }

  /** Changes it, also while a call runs: it looks again at every call. */
  set(change: Partial<StubState>): void {
    this.#state = { ...this.#state, ...change };
    const text = linesOf(this.#state).join("\n");
    const fresh = `${this.module}.conf.${++this.#written}`;
    writeFileSync(fresh, `${text}\n`);
    renameSync(fresh, `${this.module}.conf`);
  }

  entries(): StubEntry[] {
    const text = readFileSync(`${this.module}.log`, "utf8");
    return text.split("\n").filter(Boolean).map(entryOf);
  }

  /** Names of the calls in the order in which they began. */
  calls(): string[] {
    return this.entries()
      .filter(({ ckr }) => ckr === undefined)
      .map(({ call }) => call);
  }

  /** What a call was answered each time. */
  answers(call: StubCall): number[] {
    return this.entries().flatMap((entry) =>
      entry.call === call && entry.ckr !== undefined ? [entry.ckr] : [],
    );
  }

  /** Slots that a PIN was sent to, one for each time. */
  logins(): number[] {
    return this.entries().flatMap(({ call, details, ckr }) =>
      call === "C_Login" && ckr === undefined ? [Number(/slot=(-?\d+)/u.exec(details)?.[1])] : [],
    );
  }

  /** Forgets the calls so far. */
  clear(): void {
    writeFileSync(`${this.module}.log`, "");
  }

  /** Waits until a call has begun, and returns its process. */
  async began(call: StubCall, timeoutMs = 5000): Promise<number> {
    for (let waited = 0; waited < timeoutMs; waited += 5) {
      const entry = this.entries().find((each) => each.call === call && each.ckr === undefined);
      if (entry !== undefined) return entry.pid;
      await delay(5);
    }
    throw new Error(`${call} did not begin within ${timeoutMs} ms`);
  }
}

function linesOf({ tokens, rules = [] }: StubState): string[] {
  return [
    ...tokens.map(slotLine),
    ...tokens.flatMap(({ keys = [] }, slot) => keys.map((key) => keyLine(key, slot))),
    ...rules.map(ruleLine),
  ];
}

function slotLine(token: StubToken): string {
  const {
    label,
    serial = label,
    maker = "Coffer",
    model = "stub",
    reader = "Stub reader",
    pin = "123456",
  } = token;
  return line("slot", {
    label,
    serial,
    maker,
    model,
    reader,
    pin,
    tries: token.tries ?? 3,
    min: token.minPinBytes ?? 4,
    max: token.maxPinBytes ?? 8,
    flags: token.flags ?? USUAL_FLAGS,
    present: token.isPresent === false ? 0 : 1,
    low: token.showsLow === false ? 0 : 1,
    final: token.showsFinal === false ? 0 : 1,
    padding: token.padding === "\0" ? 0 : 32,
    lockedCkr: token.lockedCkr ?? PIN_LOCKED,
    lengthCkr: token.lengthCkr ?? PIN_LEN_RANGE,
  });
}

function keyLine(key: StubKey, slot: number): string {
  const { kind, id, label = kind, showsPublic = kind !== "aes", certificate, ...rest } = key;
  return line("key", {
    slot,
    kind: KINDS[kind],
    id,
    label,
    public: showsPublic ? 1 : 0,
    ...(certificate !== undefined && { certificate }),
    ...rest,
  });
}

function ruleLine({ call, nth = 0, does }: StubRule): string {
  if (typeof does === "string") return line("rule", { call, nth, do: does });
  if ("ckr" in does) return line("rule", { call, nth, do: "ckr", value: does.ckr });
  if ("delayMs" in does) return line("rule", { call, nth, do: "delay", value: does.delayMs });
  if ("exit" in does) return line("rule", { call, nth, do: "exit", value: does.exit });
  return line("rule", { call, nth, do: "vanish", value: does.vanishAfterMs });
}

function line(kind: string, values: Readonly<Record<string, string | number | Uint8Array>>): string {
  const pairs = Object.entries(values).map(([name, value]) => {
    const text = value instanceof Uint8Array ? Buffer.from(value).toString("hex") : encodeURIComponent(value);
    return `${name}=${text}`;
  });
  return [kind, ...pairs].join(" ");
}

function entryOf(text: string): StubEntry {
  const [, pid = "", call = "", rest = ""] = /^(\d+) (\w+) ?(.*)$/u.exec(text) ?? [];
  const ended = /^= (0x[\da-f]+)$/u.exec(rest)?.[1];
  return {
    pid: Number(pid),
    call,
    details: ended === undefined ? rest : "",
    ckr: ended === undefined ? undefined : Number(ended),
  };
}
