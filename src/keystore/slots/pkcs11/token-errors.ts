/**
 * From what a helper reports to the error that its user meets: one table.
 * Source: docs/errors.md; the numbers are those of PKCS#11 2.40 §6.
 * @module
 */
import {
  CofferError,
  type CofferErrorCode,
  type ErrorDetails,
  TokenError,
  type TokenErrorCode,
} from "../../../errors.ts";
import { cryptokiName } from "./cryptoki-names.ts";
import type { HelperFailure, HelperStage, TokenProblem } from "./helper-protocol.ts";

const INSTALL = "npm install pkcs11js";
/** Shorter than this, nobody was waited for. */
const TOUCH_MS = 2000;
const DEVICE_ERROR = 0x30;

interface Outcome {
  readonly code: TokenErrorCode | "COFFER_ABORTED";
  readonly message: string;
  readonly reason?: string;
}

const PROBLEMS: Readonly<Record<TokenProblem, Outcome>> = {
  "binding-absent": {
    code: "COFFER_PKCS11_BINDING_MISSING",
    message: `Tokens need the package pkcs11js, which is not installed. Install it: ${INSTALL}.`,
    reason: "absent",
  },
  "binding-not-built": {
    code: "COFFER_PKCS11_BINDING_MISSING",
    message:
      "The package pkcs11js is there, but was not compiled for this runtime. Compile it: npm rebuild pkcs11js. That needs Python 3, make and a C++ compiler, and install scripts that are allowed to run.",
    reason: "not-built",
  },
  "no-token": {
    code: "COFFER_TOKEN_NOT_PRESENT",
    message:
      "No token is there, or another program (gpg-agent, scdaemon) holds its reader. Insert the token, or end that program, and try again.",
  },
  "no-key": {
    code: "COFFER_TOKEN_KEY_NOT_FOUND",
    message: "No token that is there has the key. Insert the other token, or use another way in.",
  },
  "ambiguous-token": {
    code: "COFFER_TOKEN_AMBIGUOUS",
    message: "Several tokens fit. Name one by its label and serial number.",
    reason: "token",
  },
  "ambiguous-key": {
    code: "COFFER_TOKEN_AMBIGUOUS",
    message: "Several keys of the token fit. Name one by its id.",
    reason: "key",
  },
  "unsuitable-key": {
    code: "COFFER_TOKEN_KEY_UNSUITABLE",
    message:
      "The token has no key there that can be used: P-256, P-384, RSA of 2048, 3072 or 4096 bits with its private key, or AES-256. On a YubiKey take slot 9d.",
  },
  "pin-locked": {
    code: "COFFER_PIN_LOCKED",
    message:
      "The token has locked its PIN. Unblock it with the PUK or wait, as the token's vendor says, and use another way in until then.",
  },
  "pin-length": {
    code: "COFFER_PIN_LENGTH",
    message: "The PIN is too short or too long for this token. No try was used.",
  },
  "pin-final-try": {
    code: "COFFER_PIN_NOT_USABLE",
    message:
      "While the PIN was typed, another program used a try: one is left, and the PIN was not sent. Try again if you are sure of it.",
    reason: "final-try",
  },
  pinpad: {
    code: "COFFER_PIN_NOT_USABLE",
    message: "The PIN of this token is typed on its reader, which is not supported. Use another way in.",
    reason: "pinpad",
  },
  "another-token": {
    code: "COFFER_TOKEN_REMOVED",
    message:
      "Another token was put into the reader's place. It was not given the PIN. Insert the right one and try again.",
  },
  "wrong-answer": {
    code: "COFFER_TOKEN_OPERATION_FAILED",
    message:
      "The token's answer is not what its key should give. Try the token with its vendor's tool, and use another way in.",
    reason: "answer",
  },
  malformed: {
    code: "COFFER_PKCS11_MODULE_CRASHED",
    message: "The token helper said something that it never says. Use another way in, and try again.",
  },
};

const NOT_PRESENT: Outcome = PROBLEMS["no-token"];
const INIT_FAILED: Outcome = {
  code: "COFFER_PKCS11_MODULE_INIT_FAILED",
  message:
    "The PKCS#11 module does not start. Is its service running (pcscd for smart cards), and is its configuration found (SOFTHSM2_CONF, OPENSC_CONF, parameters of NSS)?",
};
const REMOVED: Outcome = {
  code: "COFFER_TOKEN_REMOVED",
  message: "The token was removed while it was used. Insert it and try again.",
};
const OPERATION_FAILED: Outcome = {
  code: "COFFER_TOKEN_OPERATION_FAILED",
  message: "The token refuses the operation. Try it with its vendor's tool, and use another way in.",
};
const CANCELLED: Outcome = {
  code: "COFFER_ABORTED",
  message: "The operation was cancelled at the token. Try again, or use another way in.",
};
const UNSUITABLE: Outcome = {
  code: "COFFER_TOKEN_KEY_UNSUITABLE",
  message:
    "The token does not do this with its key: the key is not made for it, or the module does not support it. On a YubiKey take slot 9d.",
};
const INCORRECT: Outcome = {
  code: "COFFER_PIN_INCORRECT",
  message: "The token refuses the PIN. One try is used; too many wrong ones lock the token.",
};
const PIN_UNUSABLE: Outcome = {
  code: "COFFER_PIN_NOT_USABLE",
  message: "The PIN of this token must be set or changed first, with the vendor's tool.",
};
const TOUCH: Outcome = {
  code: "COFFER_TOKEN_TOUCH_OR_POLICY",
  message:
    "The token was not touched in time, or its key wants the PIN again. Try again, and touch it when it blinks.",
};

const LOOK_AGAIN: ReadonlyMap<number, Outcome> = new Map([
  ...entries(CANCELLED, 0x50, 0x200),
  ...entries(REMOVED, 0x32, 0xe0, 0xe1),
]);
/** Numbers that mean the same wherever a token has been found. */
const BY_NUMBER: Readonly<Record<Exclude<HelperStage, "binding" | "load">, ReadonlyMap<number, Outcome>>> = {
  init: new Map(),
  find: new Map([...entries(NOT_PRESENT, 0x3, 0x32, 0xe0, 0xe1), ...entries(INIT_FAILED, 0x190)]),
  login: new Map([
    ...LOOK_AGAIN,
    ...entries(INCORRECT, 0xa0),
    ...entries(PROBLEMS["pin-locked"], 0xa4),
    ...entries(PROBLEMS["pin-length"], 0xa2, 0xa1, 0x7),
    ...entries(PIN_UNUSABLE, 0xa3, 0x102),
  ]),
  operate: new Map([
    ...entries(TOUCH, 0x101),
    ...entries(UNSUITABLE, 0x54, 0x62, 0x63, 0x68, 0x6a, 0x70, 0x71),
    ...entries(CANCELLED, 0x50, 0x200),
    ...entries(REMOVED, 0x32, 0xe0, 0xe1),
    ...entries(PROBLEMS["pin-locked"], 0xa4),
  ]),
};

/** Returns the error for what a helper reported; its details name the stage, the token and the module's number. */
export function tokenError(failure: HelperFailure): CofferError {
  const { code, message, reason } = outcomeOf(failure);
  const { token, seen, stage } = failure;
  const isPin = code === "COFFER_PIN_INCORRECT";
  const details: ErrorDetails = {
    stage,
    ...(reason !== undefined && { reason }),
    ...(failure.ckr !== undefined && { ckr: cryptokiName(failure.ckr) }),
    ...(failure.call !== undefined && { call: failure.call }),
    ...(token !== undefined && { tokenLabel: token.label, serial: token.serial }),
    ...(seen !== undefined && { tokensSeen: seen }),
    ...(isPin && { low: failure.isLow === true, finalTry: failure.isFinalTry === true }),
    ...(code === "COFFER_PIN_LENGTH" && pinLengths(failure)),
  };
  return errorOf(code, `${message}${more(failure, code)}`, details, loaderError(failure));
}

/** An error of this part that no module was asked about. */
export function errorOf(
  code: TokenErrorCode | "COFFER_ABORTED" | "COFFER_TIMEOUT",
  message: string,
  details: ErrorDetails = {},
  cause?: unknown,
): CofferError {
  const options = { details, ...(cause !== undefined && { cause }) };
  return code === "COFFER_ABORTED" || code === "COFFER_TIMEOUT"
    ? new CofferError<CofferErrorCode>(code, message, options)
    : new TokenError(code, message, options);
}

function loaderError({ loader }: HelperFailure): Error | undefined {
  return loader === undefined ? undefined : new Error(loader);
}

function outcomeOf(failure: HelperFailure): Outcome {
  const { stage, problem, ckr } = failure;
  if (problem !== undefined) return PROBLEMS[problem];
  if (stage === "binding") return PROBLEMS["binding-not-built"];
  if (stage === "load") return loadFailure(failure.loader ?? "");
  if (stage === "init") return INIT_FAILED;
  // Before there is any slot it is the module or its service; afterwards one reader, which another program may hold.
  if (stage === "find" && failure.call === "C_GetSlotList") return INIT_FAILED;
  if (stage === "find" && ckr === DEVICE_ERROR) return NOT_PRESENT;
  if (stage === "login" && ckr === 0xa0 && failure.isLocked === true) return PROBLEMS["pin-locked"];
  if (failure.isRemoved === true) return REMOVED;
  // What the token says of itself right before the login is no word about the PIN.
  const known = stage === "login" && failure.call === "C_GetTokenInfo" ? LOOK_AGAIN : BY_NUMBER[stage];
  return (ckr === undefined ? undefined : known.get(ckr)) ?? OPERATION_FAILED;
}

function loadFailure(loader: string): Outcome {
  const code = "COFFER_PKCS11_MODULE_LOAD_FAILED";
  if (/C_GetFunctionList/u.test(loader)) {
    return {
      code,
      reason: "no-module",
      message: "The file is a library, but no PKCS#11 module. Name the module's own file.",
    };
  }
  if (
    /invalid ELF|file too short|not a mach-o|wrong ELF class|not a valid Win32|incompatible architecture/iu.test(
      loader,
    )
  ) {
    return {
      code,
      reason: "no-library",
      message: "The file is no library, or one for another kind of machine. Name the module's own file.",
    };
  }
  return {
    code,
    reason: "loader",
    message:
      "The PKCS#11 module cannot be loaded: it, or a library that it needs, is missing or cannot be read. Install it again.",
  };
}

/** What helps in this case alone. */
function more(failure: HelperFailure, code: Outcome["code"]): string {
  const { seen = [], elapsedMs = 0 } = failure;
  if (code === "COFFER_TOKEN_KEY_NOT_FOUND" && seen.length > 0) return ` There: ${seen.join(", ")}.`;
  if (code === "COFFER_TOKEN_OPERATION_FAILED" && elapsedMs > TOUCH_MS)
    return " If it blinked, it was not touched in time.";
  if (code !== "COFFER_PIN_INCORRECT") return "";
  if (failure.isFinalTry === true) return " One try is left: with another wrong PIN the token locks itself.";
  return failure.isLow === true ? " Few tries are left." : "";
}

function pinLengths({ minPinBytes, maxPinBytes }: HelperFailure): ErrorDetails {
  return {
    ...(minPinBytes !== undefined && { minBytes: minPinBytes }),
    ...(maxPinBytes !== undefined && { maxBytes: maxPinBytes }),
  };
}

function entries(outcome: Outcome, ...numbers: readonly number[]): (readonly [number, Outcome])[] {
  return numbers.map((number) => [number, outcome]);
}
