/**
 * Every number that a module may return, at every call that the token helper makes, and what comes of it.
 * Written from the table of what modules do, not from the code that it tests.
 * @module
 */
import type { CofferErrorCode } from "../../src/errors.ts";
import type { StubCall } from "./stub-module.ts";

/** The numbers of PKCS#11 2.40 that modules were seen to return, and one of a vendor. */
export const CKR = {
  HOST_MEMORY: 0x2,
  SLOT_ID_INVALID: 0x3,
  GENERAL_ERROR: 0x5,
  FUNCTION_FAILED: 0x6,
  ARGUMENTS_BAD: 0x7,
  CANT_LOCK: 0x9,
  DATA_INVALID: 0x20,
  DEVICE_ERROR: 0x30,
  DEVICE_REMOVED: 0x32,
  ENCRYPTED_DATA_INVALID: 0x40,
  FUNCTION_CANCELED: 0x50,
  FUNCTION_NOT_SUPPORTED: 0x54,
  KEY_TYPE_INCONSISTENT: 0x63,
  KEY_FUNCTION_NOT_PERMITTED: 0x68,
  MECHANISM_INVALID: 0x70,
  MECHANISM_PARAM_INVALID: 0x71,
  OBJECT_HANDLE_INVALID: 0x82,
  OPERATION_ACTIVE: 0x90,
  PIN_INCORRECT: 0xa0,
  PIN_INVALID: 0xa1,
  PIN_LEN_RANGE: 0xa2,
  PIN_EXPIRED: 0xa3,
  PIN_LOCKED: 0xa4,
  SESSION_CLOSED: 0xb0,
  SESSION_HANDLE_INVALID: 0xb3,
  TOKEN_NOT_PRESENT: 0xe0,
  TOKEN_NOT_RECOGNIZED: 0xe1,
  USER_ALREADY_LOGGED_IN: 0x100,
  USER_NOT_LOGGED_IN: 0x101,
  USER_PIN_NOT_INITIALIZED: 0x102,
  CRYPTOKI_NOT_INITIALIZED: 0x190,
  CRYPTOKI_ALREADY_INITIALIZED: 0x191,
  FUNCTION_REJECTED: 0x200,
  VENDOR: 0x8000_0001,
} as const;
export type CkrName = keyof typeof CKR;
export const CKR_NAMES: readonly CkrName[] = Object.keys(CKR) as CkrName[];

export type MatrixTask = "ec" | "rsa" | "aes" | "list";

/** One call at one place of a task. */
export interface MatrixRow {
  readonly task: MatrixTask;
  readonly call: StubCall;
  /** At the first such call after the PIN was asked for, or each time. */
  readonly when: "always" | "after the prompt" | "once";
  readonly outcome: (name: CkrName) => "good" | CofferErrorCode;
}

type Table = Partial<Record<CkrName, "good" | CofferErrorCode>>;

const GONE: Table = {
  DEVICE_REMOVED: "COFFER_TOKEN_REMOVED",
  TOKEN_NOT_PRESENT: "COFFER_TOKEN_REMOVED",
  TOKEN_NOT_RECOGNIZED: "COFFER_TOKEN_REMOVED",
};
const CANCELLED: Table = {
  FUNCTION_CANCELED: "COFFER_ABORTED",
  FUNCTION_REJECTED: "COFFER_ABORTED",
};
const FIND: Table = {
  SLOT_ID_INVALID: "COFFER_TOKEN_NOT_PRESENT",
  DEVICE_REMOVED: "COFFER_TOKEN_NOT_PRESENT",
  TOKEN_NOT_PRESENT: "COFFER_TOKEN_NOT_PRESENT",
  TOKEN_NOT_RECOGNIZED: "COFFER_TOKEN_NOT_PRESENT",
  // Another program may hold the reader.
  DEVICE_ERROR: "COFFER_TOKEN_NOT_PRESENT",
  CRYPTOKI_NOT_INITIALIZED: "COFFER_PKCS11_MODULE_INIT_FAILED",
};
/** Only C_Login speaks of a PIN. */
const LOGIN: Table = {
  ...GONE,
  ...CANCELLED,
  PIN_INCORRECT: "COFFER_PIN_INCORRECT",
  PIN_LOCKED: "COFFER_PIN_LOCKED",
  PIN_LEN_RANGE: "COFFER_PIN_LENGTH",
  PIN_INVALID: "COFFER_PIN_LENGTH",
  ARGUMENTS_BAD: "COFFER_PIN_LENGTH",
  PIN_EXPIRED: "COFFER_PIN_NOT_USABLE",
  USER_PIN_NOT_INITIALIZED: "COFFER_PIN_NOT_USABLE",
};
const OPERATE: Table = {
  ...GONE,
  ...CANCELLED,
  USER_NOT_LOGGED_IN: "COFFER_TOKEN_TOUCH_OR_POLICY",
  KEY_TYPE_INCONSISTENT: "COFFER_TOKEN_KEY_UNSUITABLE",
  KEY_FUNCTION_NOT_PERMITTED: "COFFER_TOKEN_KEY_UNSUITABLE",
  MECHANISM_INVALID: "COFFER_TOKEN_KEY_UNSUITABLE",
  MECHANISM_PARAM_INVALID: "COFFER_TOKEN_KEY_UNSUITABLE",
  FUNCTION_NOT_SUPPORTED: "COFFER_TOKEN_KEY_UNSUITABLE",
  PIN_LOCKED: "COFFER_PIN_LOCKED",
};
/** OAEP that a token does not know is done without it. */
const OAEP: Table = {
  ...OPERATE,
  MECHANISM_INVALID: "good",
  MECHANISM_PARAM_INVALID: "good",
  ARGUMENTS_BAD: "good",
};

const by =
  (
    table: Table,
    otherwise: "good" | CofferErrorCode = "COFFER_TOKEN_OPERATION_FAILED",
  ): MatrixRow["outcome"] =>
  (name) =>
    table[name] ?? otherwise;
const initFailed = by({}, "COFFER_PKCS11_MODULE_INIT_FAILED");
const good = by({}, "good");

export const MATRIX: readonly MatrixRow[] = [
  { task: "ec", call: "C_Initialize", when: "always", outcome: initFailed },
  { task: "ec", call: "C_GetSlotList", when: "always", outcome: initFailed },
  { task: "ec", call: "C_GetSlotInfo", when: "always", outcome: by(FIND) },
  { task: "ec", call: "C_GetTokenInfo", when: "always", outcome: by(FIND) },
  { task: "list", call: "C_GetMechanismList", when: "always", outcome: by(FIND) },
  { task: "ec", call: "C_OpenSession", when: "always", outcome: by(FIND) },
  { task: "ec", call: "C_FindObjectsInit", when: "always", outcome: by(FIND) },
  { task: "ec", call: "C_FindObjects", when: "always", outcome: by(FIND) },
  { task: "ec", call: "C_GetAttributeValue", when: "always", outcome: by(FIND) },
  // One bad moment is looked over: nobody has been asked for a PIN yet.
  { task: "ec", call: "C_GetSlotList", when: "once", outcome: good },
  { task: "ec", call: "C_GetTokenInfo", when: "once", outcome: good },
  { task: "ec", call: "C_OpenSession", when: "once", outcome: good },
  { task: "ec", call: "C_FindObjectsInit", when: "once", outcome: good },
  { task: "ec", call: "C_GetTokenInfo", when: "after the prompt", outcome: by({ ...GONE, ...CANCELLED }) },
  { task: "ec", call: "C_Login", when: "always", outcome: by(LOGIN) },
  { task: "ec", call: "C_FindObjectsInit", when: "after the prompt", outcome: by(OPERATE) },
  { task: "ec", call: "C_FindObjects", when: "after the prompt", outcome: by(OPERATE) },
  { task: "ec", call: "C_GetAttributeValue", when: "after the prompt", outcome: by(OPERATE) },
  { task: "ec", call: "C_DeriveKey", when: "always", outcome: by(OPERATE) },
  { task: "rsa", call: "C_DecryptInit", when: "always", outcome: by(OPERATE) },
  { task: "rsa", call: "C_DecryptInit", when: "once", outcome: by(OAEP) },
  { task: "rsa", call: "C_Decrypt", when: "always", outcome: by(OPERATE) },
  { task: "aes", call: "C_EncryptInit", when: "always", outcome: by(OPERATE) },
  { task: "aes", call: "C_Encrypt", when: "always", outcome: by(OPERATE) },
  { task: "aes", call: "C_DecryptInit", when: "always", outcome: by(OPERATE) },
  { task: "aes", call: "C_Decrypt", when: "always", outcome: by(OPERATE) },
  // What is only tidied up costs nobody an unlock.
  { task: "ec", call: "C_FindObjectsFinal", when: "once", outcome: good },
  { task: "ec", call: "C_FindObjectsFinal", when: "after the prompt", outcome: good },
  { task: "ec", call: "C_DestroyObject", when: "always", outcome: good },
  { task: "ec", call: "C_Logout", when: "always", outcome: good },
  { task: "ec", call: "C_CloseSession", when: "always", outcome: good },
  { task: "ec", call: "C_Finalize", when: "always", outcome: good },
];
