/**
 * Makes a token and its keys, in a process of its own, as a module can be started once in a process. Reads what to make
 * as JSON from its first argument: `{ module, parameters?, init?: { label, pin }, label?, pin, keys }`.
 * @module
 */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { createRequire } from "node:module";
import process from "node:process";

// Its declarations would bring those of Node into every script that has no project.
const pkcs11js = createRequire(import.meta.url)("pkcs11js");

const SO_PIN = "12345678";
const CURVES = { ec256: "06082a8648ce3d030107", ec384: "06052b81040022", ec521: "06052b81040023" };

const { module, parameters, init, label, pin, keys } = JSON.parse(process.argv[2]);
const cryptoki = new pkcs11js.PKCS11();
cryptoki.load(module);
cryptoki.C_Initialize({
  flags: pkcs11js.CKF_OS_LOCKING_OK,
  ...(parameters !== undefined && { libraryParameters: `${parameters} ` }),
});
try {
  if (init !== undefined) initialize();
  const session = open(slotOf(init?.label ?? label));
  cryptoki.C_Login(session, pkcs11js.CKU_USER, pin);
  for (const key of keys) make(session, key);
} finally {
  cryptoki.C_Finalize();
}

function initialize() {
  const slot = cryptoki
    .C_GetSlotList(true)
    .find((each) => (cryptoki.C_GetTokenInfo(each).flags & pkcs11js.CKF_TOKEN_INITIALIZED) === 0);
  cryptoki.C_InitToken(slot, SO_PIN, init.label.padEnd(32));
  const session = open(slot);
  cryptoki.C_Login(session, pkcs11js.CKU_SO, SO_PIN);
  cryptoki.C_InitPIN(session, init.pin);
  cryptoki.C_Logout(session);
  cryptoki.C_CloseSession(session);
}

/** The last one of that name: a name may be there twice. */
function slotOf(name) {
  const slots = cryptoki
    .C_GetSlotList(true)
    .filter((slot) => cryptoki.C_GetTokenInfo(slot).label.trim() === name)
    .filter((slot) => !hasKeys(slot));
  return slots[0];
}

function hasKeys(slot) {
  if (init === undefined) return false;
  const session = open(slot);
  cryptoki.C_FindObjectsInit(session, []);
  const found = cryptoki.C_FindObjects(session, 1).length > 0;
  cryptoki.C_FindObjectsFinal(session);
  cryptoki.C_CloseSession(session);
  return found;
}

function open(slot) {
  return cryptoki.C_OpenSession(slot, pkcs11js.CKF_SERIAL_SESSION | pkcs11js.CKF_RW_SESSION);
}

/** `{ kind, id, label?, pkcs8?, hidePublic?, certificate?, derive? }` */
function make(session, { kind, id, label = kind, pkcs8, hidePublic = false, certificate, derive = true }) {
  const named = [
    { type: pkcs11js.CKA_TOKEN, value: true },
    { type: pkcs11js.CKA_ID, value: Buffer.from(id, "hex") },
    { type: pkcs11js.CKA_LABEL, value: label },
  ];
  const secret = [
    { type: pkcs11js.CKA_PRIVATE, value: true },
    { type: pkcs11js.CKA_SENSITIVE, value: true },
  ];
  const usage = [
    kind.startsWith("ec")
      ? { type: pkcs11js.CKA_DERIVE, value: derive }
      : { type: pkcs11js.CKA_DECRYPT, value: true },
  ];
  let shown;
  if (kind === "aes") {
    const mechanism = { mechanism: pkcs11js.CKM_AES_KEY_GEN, parameter: null };
    cryptoki.C_GenerateKey(session, mechanism, [
      ...named,
      ...secret,
      ...usage,
      { type: pkcs11js.CKA_ENCRYPT, value: true },
      { type: pkcs11js.CKA_VALUE_LEN, value: 32 },
    ]);
  } else if (pkcs8 === undefined) {
    shown = generate(session, kind, named, [...named, ...secret, ...usage]);
  } else {
    shown = load(session, kind, named, [...named, ...secret, ...usage], pkcs8);
  }
  if (certificate !== undefined) {
    const parsed = new X509Certificate(Buffer.from(certificate, "base64"));
    cryptoki.C_CreateObject(session, [
      ...named,
      { type: pkcs11js.CKA_CLASS, value: pkcs11js.CKO_CERTIFICATE },
      { type: pkcs11js.CKA_CERTIFICATE_TYPE, value: pkcs11js.CKC_X_509 },
      { type: pkcs11js.CKA_SUBJECT, value: Buffer.from("3000", "hex") },
      { type: pkcs11js.CKA_VALUE, value: parsed.raw },
    ]);
  }
  if (hidePublic && shown !== undefined) cryptoki.C_DestroyObject(session, shown);
}

function generate(session, kind, publicTemplate, privateTemplate) {
  const [mechanism, more] = kind.startsWith("ec")
    ? [
        pkcs11js.CKM_EC_KEY_PAIR_GEN,
        [{ type: pkcs11js.CKA_EC_PARAMS, value: Buffer.from(CURVES[kind], "hex") }],
      ]
    : [
        pkcs11js.CKM_RSA_PKCS_KEY_PAIR_GEN,
        [
          { type: pkcs11js.CKA_MODULUS_BITS, value: Number(kind.slice(3)) },
          { type: pkcs11js.CKA_PUBLIC_EXPONENT, value: Buffer.from("010001", "hex") },
        ],
      ];
  const made = cryptoki.C_GenerateKeyPair(
    session,
    { mechanism, parameter: null },
    [...publicTemplate, ...more],
    privateTemplate,
  );
  return made.publicKey;
}

function load(session, kind, publicTemplate, privateTemplate, pkcs8) {
  const key = createPrivateKey({ key: Buffer.from(pkcs8, "base64"), format: "der", type: "pkcs8" });
  const jwk = key.export({ format: "jwk" });
  const bytes = (text) => Buffer.from(text, "base64url");
  const shared = (type) => ({ type: pkcs11js.CKA_KEY_TYPE, value: type });
  if (kind.startsWith("ec")) {
    const point = Buffer.concat([Buffer.of(4), bytes(jwk.x), bytes(jwk.y)]);
    const der = Buffer.concat([Buffer.of(4, point.length), point]);
    const curve = { type: pkcs11js.CKA_EC_PARAMS, value: Buffer.from(CURVES[kind], "hex") };
    cryptoki.C_CreateObject(session, [
      { type: pkcs11js.CKA_CLASS, value: pkcs11js.CKO_PRIVATE_KEY },
      shared(pkcs11js.CKK_EC),
      ...privateTemplate,
      curve,
      { type: pkcs11js.CKA_VALUE, value: bytes(jwk.d) },
      // NSS finds the public half of a private key by it.
      ...(parameters === undefined ? [] : [{ type: 0xd5a0db00, value: point }]),
    ]);
    return cryptoki.C_CreateObject(session, [
      { type: pkcs11js.CKA_CLASS, value: pkcs11js.CKO_PUBLIC_KEY },
      shared(pkcs11js.CKK_EC),
      ...publicTemplate,
      curve,
      { type: pkcs11js.CKA_EC_POINT, value: der },
    ]);
  }
  throw new Error("only EC keys are loaded");
}
