/**
 * The calls of PKCS#11 that a token helper makes, sixteen of them, and what each binding's peculiarities ask for.
 * Loaded in the helper's process alone.
 * Source: PKCS#11 2.40 base specification; what modules really do is in docs/yubikey.md.
 * @module
 */
import type * as Pkcs11Binding from "pkcs11js";
import type { Handle, Mechanism, PKCS11, Template } from "pkcs11js";
import { copy } from "../../../bytes.ts";
import { ownMemory } from "../../../crypto/own-memory.ts";

/** Numbers of the specification: the binding's own list is not there before it is loaded. */
export const CKO = { certificate: 1, publicKey: 2, privateKey: 3, secretKey: 4 } as const;
export const CKA = {
  class: 0x0,
  token: 0x1,
  label: 0x3,
  value: 0x11,
  keyType: 0x100,
  id: 0x102,
  modulus: 0x120,
  publicExponent: 0x122,
  ecPoint: 0x181,
} as const;
export const CKK = { rsa: 0, ec: 3, genericSecret: 0x10, aes: 0x1f } as const;
export const CKM = {
  rsaX509: 0x3,
  rsaOaep: 0x9,
  sha256: 0x250,
  ecdh1Derive: 0x1050,
  aesGcm: 0x1087,
} as const;
export const CKF = {
  loginRequired: 0x4,
  protectedPath: 0x100,
  tokenInitialized: 0x400,
  pinCountLow: 0x1_0000,
  pinFinalTry: 0x2_0000,
  pinLocked: 0x4_0000,
  pinToBeChanged: 0x8_0000,
} as const;

const CKA_SENSITIVE = 0x103;
const CKA_VALUE_LEN = 0x161;
const CKA_EXTRACTABLE = 0x162;
const CKD_NULL = 1;
const CKG_MGF1_SHA256 = 2;
const CKZ_DATA_SPECIFIED = 1;
const CKU_USER = 1;
const CKF_SERIAL_SESSION = 4;
const CKF_OS_LOCKING_OK = 2;
const GCM_IV_BITS = 96;
const GCM_TAG_BITS = 128;
const MAX_OBJECTS = 256;

/** A call that did not come back with CKR_OK. */
export class CryptokiError extends Error {
  override readonly name = "CryptokiError";
  readonly call: string;
  readonly ckr: number | undefined;

  constructor(call: string, ckr: number | undefined) {
    super(`${call} failed`);
    this.call = call;
    this.ckr = ckr;
  }
}

export interface RawToken {
  readonly label: string;
  readonly serial: string;
  readonly manufacturer: string;
  readonly model: string;
  readonly flags: number;
  readonly minPinBytes: number;
  readonly maxPinBytes: number;
}

/** One loaded module. Whoever lets go of it while a call runs has it unloaded under that call. */
export class Cryptoki {
  readonly #module: PKCS11;
  readonly #gcmParameters: number;
  readonly #oaepParameters: number;
  readonly #agreementParameters: number;

  /** @param binding what `import("pkcs11js")` gives. @throws Error of the loader, with its text. */
  constructor(binding: typeof Pkcs11Binding, path: string) {
    this.#gcmParameters = binding.CK_PARAMS_AES_GCM_v240;
    this.#oaepParameters = binding.CK_PARAMS_RSA_OAEP;
    this.#agreementParameters = binding.CK_PARAMS_EC_DH;
    this.#module = new binding.PKCS11();
    this.#module.load(path);
  }

  initialize(parameters: string | undefined): void {
    // The binding cuts the last character off.
    const own = parameters === undefined ? {} : { libraryParameters: `${parameters} ` };
    call("C_Initialize", () => this.#module.C_Initialize({ flags: CKF_OS_LOCKING_OK, ...own }));
  }

  finalize(): void {
    call("C_Finalize", () => this.#module.C_Finalize());
  }

  slots(hasToken: boolean): Handle[] {
    return call("C_GetSlotList", () => this.#module.C_GetSlotList(hasToken)).slice(0, MAX_OBJECTS);
  }

  slotInfo(slot: Handle): { readonly description: string; readonly manufacturer: string } {
    const info = call("C_GetSlotInfo", () => this.#module.C_GetSlotInfo(slot));
    return { description: trimmed(info.slotDescription), manufacturer: trimmed(info.manufacturerID) };
  }

  tokenInfo(slot: Handle): RawToken {
    const info = call("C_GetTokenInfo", () => this.#module.C_GetTokenInfo(slot));
    return {
      label: trimmed(info.label),
      serial: trimmed(info.serialNumber),
      manufacturer: trimmed(info.manufacturerID),
      model: trimmed(info.model),
      flags: info.flags >>> 0,
      minPinBytes: info.minPinLen,
      maxPinBytes: info.maxPinLen,
    };
  }

  mechanisms(slot: Handle): ReadonlySet<number> {
    return new Set(call("C_GetMechanismList", () => this.#module.C_GetMechanismList(slot)));
  }

  openSession(slot: Handle): Handle {
    return call("C_OpenSession", () => this.#module.C_OpenSession(slot, CKF_SERIAL_SESSION));
  }

  closeSession(session: Handle): void {
    call("C_CloseSession", () => this.#module.C_CloseSession(session));
  }

  login(session: Handle, pin: Uint8Array): void {
    // The binding takes a PIN as a string only, which cannot be wiped: it goes with this process.
    const pinText = Buffer.from(pin.buffer, pin.byteOffset, pin.length).toString();
    call("C_Login", () => this.#module.C_Login(session, CKU_USER, pinText));
  }

  logout(session: Handle): void {
    call("C_Logout", () => this.#module.C_Logout(session));
  }

  /** Objects of a class, with this CKA_ID where one is given: never by what they are said to be able to do. */
  find(session: Handle, objectClass: number, id?: Uint8Array): Handle[] {
    const template: Template = [{ type: CKA.class, value: objectClass }];
    if (id !== undefined) template.push({ type: CKA.id, value: Buffer.from(id) });
    call("C_FindObjectsInit", () => this.#module.C_FindObjectsInit(session, template));
    try {
      return call("C_FindObjects", () => this.#module.C_FindObjects(session, MAX_OBJECTS));
    } finally {
      ignoring(() => this.#module.C_FindObjectsFinal(session));
    }
  }

  /** One attribute; `undefined` where the object does not have it. One at a time: one that is missing spoils all. */
  attribute(session: Handle, object: Handle, type: number): Uint8Array<ArrayBuffer> | undefined {
    try {
      const [found] = call("C_GetAttributeValue", () =>
        this.#module.C_GetAttributeValue(session, object, [{ type }]),
      );
      return found?.value instanceof Uint8Array ? copy(found.value) : undefined;
    } catch (error) {
      if (error instanceof CryptokiError && MISSING_ATTRIBUTE.has(error.ckr ?? -1)) return undefined;
      throw error;
    }
  }

  /** An attribute that is a number; both of its sizes begin with the low bytes. */
  number(session: Handle, object: Handle, type: number): number | undefined {
    const value = this.attribute(session, object, type);
    return value !== undefined && value.length >= 4 ? Buffer.from(value).readUInt32LE(0) : undefined;
  }

  /** Z of an agreement with a raw uncompressed point: the one form that all modules take. The KDF is ours. */
  async agree(session: Handle, key: Handle, point: Uint8Array, lengthBytes: number): Promise<Uint8Array> {
    const parameter = { type: this.#agreementParameters, kdf: CKD_NULL, publicData: Buffer.from(point) };
    const template: Template = [
      { type: CKA.class, value: CKO.secretKey },
      { type: CKA.keyType, value: CKK.genericSecret },
      { type: CKA.token, value: false },
      { type: CKA_SENSITIVE, value: false },
      { type: CKA_EXTRACTABLE, value: true },
      { type: CKA_VALUE_LEN, value: lengthBytes },
    ];
    const mechanism = { mechanism: CKM.ecdh1Derive, parameter };
    const derived = await callAsync("C_DeriveKey", () =>
      this.#module.C_DeriveKeyAsync(session, mechanism, key, template),
    );
    const secret = this.attribute(session, derived, CKA.value);
    ignoring(() => this.#module.C_DestroyObject(session, derived));
    if (secret === undefined) throw new CryptokiError("C_GetAttributeValue", undefined);
    return secret;
  }

  /** OAEP on the token; `undefined` where it does not know it, which costs neither a try nor a touch. */
  async decryptOaep(session: Handle, key: Handle, ciphertext: Uint8Array): Promise<Uint8Array | undefined> {
    const parameter = {
      type: this.#oaepParameters,
      hashAlg: CKM.sha256,
      mgf: CKG_MGF1_SHA256,
      source: CKZ_DATA_SPECIFIED,
    };
    try {
      call("C_DecryptInit", () =>
        this.#module.C_DecryptInit(session, { mechanism: CKM.rsaOaep, parameter }, key),
      );
    } catch (error) {
      if (error instanceof CryptokiError && NO_OAEP.has(error.ckr ?? -1)) return undefined;
      throw error;
    }
    return this.#decrypt(session, ciphertext, ciphertext.length);
  }

  /** RSA without any padding: the whole block. */
  async decryptRaw(session: Handle, key: Handle, ciphertext: Uint8Array): Promise<Uint8Array> {
    call("C_DecryptInit", () => this.#module.C_DecryptInit(session, { mechanism: CKM.rsaX509 }, key));
    return this.#decrypt(session, ciphertext, ciphertext.length);
  }

  /** AES-256-GCM with a 12-byte nonce, a 16-byte tag and no associated data. */
  async decryptGcm(session: Handle, key: Handle, nonce: Uint8Array, sealed: Uint8Array): Promise<Uint8Array> {
    call("C_DecryptInit", () => this.#module.C_DecryptInit(session, this.#gcm(nonce), key));
    return this.#decrypt(session, sealed, sealed.length);
  }

  async encryptGcm(
    session: Handle,
    key: Handle,
    nonce: Uint8Array,
    plaintext: Uint8Array,
  ): Promise<Uint8Array> {
    call("C_EncryptInit", () => this.#module.C_EncryptInit(session, this.#gcm(nonce), key));
    const room = Buffer.alloc(plaintext.length + GCM_TAG_BITS / 8);
    return callAsync("C_Encrypt", async () =>
      ownMemory(await this.#module.C_EncryptAsync(session, Buffer.from(plaintext), room)),
    );
  }

  #gcm(nonce: Uint8Array): Mechanism {
    // The struct with ulIvBits: some refuse the older, shorter one.
    const parameter = {
      type: this.#gcmParameters,
      iv: Buffer.from(nonce),
      ivBits: GCM_IV_BITS,
      tagBits: GCM_TAG_BITS,
    };
    return { mechanism: CKM.aesGcm, parameter };
  }

  /** @param room never less than the module may write: one answers CKR_OK with wrong bytes to a short buffer. */
  async #decrypt(session: Handle, ciphertext: Uint8Array, room: number): Promise<Uint8Array> {
    return callAsync("C_Decrypt", async () =>
      ownMemory(await this.#module.C_DecryptAsync(session, Buffer.from(ciphertext), Buffer.alloc(room))),
    );
  }
}

/** MECHANISM_INVALID, MECHANISM_PARAM_INVALID, ARGUMENTS_BAD. */
const NO_OAEP: ReadonlySet<number> = new Set([0x70, 0x71, 0x7]);
/** ATTRIBUTE_TYPE_INVALID, ATTRIBUTE_SENSITIVE, ATTRIBUTE_VALUE_INVALID. */
const MISSING_ATTRIBUTE: ReadonlySet<number> = new Set([0x12, 0x11, 0x13]);

function call<T>(name: string, use: () => T): T {
  try {
    return use();
  } catch (error) {
    throw failureOf(name, error);
  }
}

/** What is only tidied up: the session ends in any case. */
function ignoring(use: () => void): void {
  try {
    use();
  } catch {
    // What was asked for is there.
  }
}

async function callAsync<T>(name: string, use: () => Promise<T>): Promise<T> {
  try {
    return await use();
  } catch (error) {
    throw failureOf(name, error);
  }
}

/** The number is in `code`, or in a message such as `CKR_X:145`; the words around it may hold anything. */
function failureOf(name: string, error: unknown): CryptokiError {
  if (error instanceof CryptokiError) return error;
  const { code, message } =
    error instanceof Error ? (error as { code?: unknown; message: string }) : { message: "" };
  const numbered = /CKR_\w+:(\d{1,10})/u.exec(message)?.[1];
  const ckr =
    typeof code === "number" && code !== 0 ? code : numbered === undefined ? undefined : Number(numbered);
  return new CryptokiError(name, ckr);
}

/** Fields are padded with blanks, by some with zeros. */
function trimmed(text: string): string {
  return text.replace(/[\0 ]+$/u, "").toWellFormed();
}
