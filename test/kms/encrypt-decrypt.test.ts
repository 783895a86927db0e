import { beforeAll, describe, expect, test } from "vitest";
import { CofferError } from "../../src/errors.ts";
import { blobKey } from "../../src/formats/key-schedule.ts";
import type { Kms } from "../../src/kms/kms.ts";
import { testVaults } from "./kms-vault.ts";

const newVault = testVaults();
let kms: Kms;
let other: Kms;

beforeAll(async () => {
  kms = (await newVault()).vault.kms;
  other = (await newVault()).vault.kms;
});

const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

async function newKeyId(on: Kms = kms): Promise<string> {
  return (await on.createKey()).keyMetadata.keyId;
}

/** Code, reason and message of a refusal. */
async function refusalOf(promise: Promise<unknown>): Promise<CofferError> {
  const error: unknown = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(CofferError);
  return error as CofferError;
}

describe("encrypt and decrypt", () => {
  test("give back what was encrypted, under the default key when none is named", async () => {
    const { ciphertextBlob, keyId, keyVersion, encryptionAlgorithm } = await kms.encrypt({
      plaintext: "grüezi",
    });
    const { keyMetadata } = await kms.describeKey({ keyId: "alias/default" });
    expect({ keyId, keyVersion, encryptionAlgorithm }).toEqual({
      keyId: keyMetadata.keyId,
      keyVersion: 1,
      encryptionAlgorithm: "SYMMETRIC_DEFAULT",
    });
    const answer = await kms.decrypt({ ciphertextBlob });
    expect(text(answer.plaintext)).toBe("grüezi");
    expect(answer).toMatchObject({ keyId, keyVersion: 1, encryptionAlgorithm: "SYMMETRIC_DEFAULT" });
    expect(Object.getPrototypeOf(answer.plaintext)).toBe(Uint8Array.prototype);
    expect(Object.getPrototypeOf(ciphertextBlob)).toBe(Uint8Array.prototype);
    expect(ciphertextBlob.buffer.byteLength).toBe(ciphertextBlob.length);
  });

  test("are randomised: the same input never gives the same blob", async () => {
    const blobs = await Promise.all([1, 2].map(() => kms.encrypt({ plaintext: "same" })));
    expect(blobs[0]?.ciphertextBlob).not.toEqual(blobs[1]?.ciphertextBlob);
  });

  test("take a ciphertext as its Base64 text", async () => {
    const { ciphertextBlob } = await kms.encrypt({ plaintext: Uint8Array.of(1, 2) });
    const base64 = Buffer.from(ciphertextBlob).toString("base64");
    expect((await kms.decrypt({ ciphertextBlob: base64 })).plaintext).toEqual(Uint8Array.of(1, 2));
  });

  test.each([
    ["with a line break", (base64: string) => `${base64}\n`],
    ["without its padding", (base64: string) => base64.replace(/=+$/u, "")],
    ["in the URL alphabet", (base64: string) => `-_${base64.slice(2)}`],
    ["with bits that no byte has room for", (base64: string) => `${base64.slice(0, -3)}B==`],
  ])("refuse Base64 %s", async (_name, change) => {
    // 105 bytes, whose text ends in two characters of padding… 105 is a multiple of three, 106 is not.
    const { ciphertextBlob } = await kms.encrypt({ plaintext: Uint8Array.of(1, 2) });
    const base64 = Buffer.from(ciphertextBlob).toString("base64");
    expect(base64).toMatch(/[^=]==$/u);
    const error = await refusalOf(kms.decrypt({ ciphertextBlob: change(base64) }));
    expect([error.code, error.reason]).toEqual(["COFFER_INVALID_CIPHERTEXT", "not-base64"]);
  });
});

describe("trap 1: a blob is self-describing, and its header is authenticated", () => {
  test("decrypt needs no key id", async () => {
    const keyId = await newKeyId();
    const { ciphertextBlob } = await kms.encrypt({ keyId, plaintext: "x" });
    expect(await kms.decrypt({ ciphertextBlob })).toMatchObject({ keyId, keyVersion: 1 });
  });

  test("every changed bit of the header after the suite is refused", async () => {
    const { ciphertextBlob } = await kms.encrypt({ plaintext: "x" });
    const codes = new Set<string>();
    for (let at = 5; at < 32; at++) {
      const changed = ciphertextBlob.slice();
      changed[at] = (changed[at] as number) ^ 1;
      codes.add((await refusalOf(kms.decrypt({ ciphertextBlob: changed }))).code);
    }
    // Another key id names a key that does not exist; anything else does not authenticate.
    expect([...codes].sort()).toEqual(["COFFER_INVALID_CIPHERTEXT", "COFFER_NOT_FOUND"]);
  });
});

describe("trap 2: a key id given to decrypt is a constraint", () => {
  test("another key is refused, and the blob's own key is not used instead", async () => {
    const [a, b] = [await newKeyId(), await newKeyId()];
    const { ciphertextBlob } = await kms.encrypt({ keyId: a, plaintext: "x" });
    const error = await refusalOf(kms.decrypt({ ciphertextBlob, keyId: b }));
    expect(error.code).toBe("COFFER_INCORRECT_KEY");
    expect(error.details).toEqual({ keyId: b, keyOfCiphertext: a });
    expect((await kms.decrypt({ ciphertextBlob, keyId: a })).keyId).toBe(a);
  });

  test("an unknown alias is not passed over", async () => {
    const { ciphertextBlob } = await kms.encrypt({ plaintext: "x" });
    const error = await refusalOf(kms.decrypt({ ciphertextBlob, keyId: "alias/nowhere" }));
    expect(error.code).toBe("COFFER_NOT_FOUND");
  });
});

describe("trap 3: the key id enters the derived key", () => {
  test("the same material in two keys derives two blob keys", () => {
    const material = new Uint8Array(32).fill(7);
    const [a, b] = [new Uint8Array(16).fill(1), new Uint8Array(16).fill(2)];
    expect(blobKey(material, a, 1)).not.toEqual(blobKey(material, b, 1));
  });

  test("a blob whose header names another existing key is refused", async () => {
    const [a, b] = [await newKeyId(), await newKeyId()];
    const { ciphertextBlob } = await kms.encrypt({ keyId: a, plaintext: "x" });
    const forged = ciphertextBlob.slice();
    forged.set(Buffer.from(b.replaceAll("-", ""), "hex"), 8);
    expect((await refusalOf(kms.decrypt({ ciphertextBlob: forged }))).code).toBe("COFFER_INVALID_CIPHERTEXT");
  });
});

describe("trap 4: the material is found by the version in the header", () => {
  test("a version that does not exist is refused as any tampering is", async () => {
    const { ciphertextBlob } = await kms.encrypt({ plaintext: "x" });
    const forged = ciphertextBlob.slice();
    forged[27] = 2;
    const tampered = ciphertextBlob.slice();
    tampered[60] = (tampered[60] as number) ^ 1;
    const errors = await Promise.all(
      [forged, tampered].map((b) => refusalOf(kms.decrypt({ ciphertextBlob: b }))),
    );
    expect(errors[0]?.toJSON()).toEqual(errors[1]?.toJSON());
  });
});

describe("trap 5: answers name the key by its id", () => {
  test("also where an alias was given", async () => {
    const keyId = await newKeyId();
    await kms.createAlias({ aliasName: "alias/trap-5", targetKeyId: keyId });
    const encrypted = await kms.encrypt({ keyId: "alias/trap-5", plaintext: "x" });
    expect(encrypted.keyId).toBe(keyId);
    const decrypted = await kms.decrypt({ ...pick(encrypted), keyId: "alias/trap-5" });
    expect(decrypted.keyId).toBe(keyId);
  });
});

describe("trap 7: blobs are opaque and tamper-evident", () => {
  test("every changed byte of the seal gives one answer, without detail", async () => {
    const encryptionContext = { app: "a" };
    const { ciphertextBlob } = await kms.encrypt({ plaintext: "x", encryptionContext });
    const answers = new Set<string>();
    for (let at = 32; at < ciphertextBlob.length; at++) {
      const changed = ciphertextBlob.slice();
      changed[at] = (changed[at] as number) ^ 0x80;
      const error = await refusalOf(kms.decrypt({ ciphertextBlob: changed, encryptionContext }));
      answers.add(JSON.stringify(error));
      expect(error.cause).toBeUndefined();
    }
    answers.add(JSON.stringify(await refusalOf(kms.decrypt({ ciphertextBlob }))));
    expect([...answers]).toHaveLength(1);
    expect([...answers][0]).toContain('"details":{}');
  });

  test("a plaintext of 0 bytes is refused", async () => {
    for (const plaintext of ["", new Uint8Array()]) {
      expect((await refusalOf(kms.encrypt({ plaintext }))).code).toBe("COFFER_INVALID_ARGUMENT");
    }
  });

  test("limits count bytes of the plaintext: 6,144 pass, one more names what takes any size", async () => {
    const { ciphertextBlob } = await kms.encrypt({ plaintext: new Uint8Array(6144) });
    expect((await kms.decrypt({ ciphertextBlob })).plaintext).toEqual(new Uint8Array(6144));
    for (const plaintext of [new Uint8Array(6145), "é".repeat(3073)]) {
      const error = await refusalOf(kms.encrypt({ plaintext }));
      expect(error.code).toBe("COFFER_LIMIT_EXCEEDED");
      expect(error.message).toContain("encryptFile");
      expect(error.message).toContain("coffer file encrypt");
    }
  });
});

describe("trap 8: the encryption context matches exactly", () => {
  const encryptionContext = { Purpose: "tls", server: "a" };
  let ciphertextBlob: Uint8Array;

  beforeAll(async () => {
    ({ ciphertextBlob } = await kms.encrypt({ plaintext: "x", encryptionContext }));
  });

  test("in any order", async () => {
    const reordered = { server: "a", Purpose: "tls" };
    expect(text((await kms.decrypt({ ciphertextBlob, encryptionContext: reordered })).plaintext)).toBe("x");
  });

  test.each([
    ["a key in another case", { purpose: "tls", server: "a" }],
    ["a value in another case", { Purpose: "TLS", server: "a" }],
    ["a pair less", { Purpose: "tls" }],
    ["a pair more", { Purpose: "tls", server: "a", more: "" }],
    ["none", undefined],
  ])("refuses %s", async (_name, context) => {
    const request = { ciphertextBlob, encryptionContext: context };
    expect((await refusalOf(kms.decrypt(request))).code).toBe("COFFER_INVALID_CIPHERTEXT");
  });

  test("an absent context is the empty one", async () => {
    const absent = await kms.encrypt({ plaintext: "x" });
    const empty = await kms.encrypt({ plaintext: "x", encryptionContext: {} });
    expect(text((await kms.decrypt({ ...pick(absent), encryptionContext: {} })).plaintext)).toBe("x");
    expect(text((await kms.decrypt(pick(empty))).plaintext)).toBe("x");
  });

  test("is not stored in the blob", async () => {
    expect(Buffer.from(ciphertextBlob).includes("Purpose")).toBe(false);
  });
});

describe("trap 9: the context is encoded injectively", () => {
  test.each([
    [{ ab: "c" }, { a: "bc" }],
    [{ a: "b", c: "d" }, { a: "bcd" }],
    [{ "aws-crypto-public-key": "k", a: "b" }, { a: "b" }],
    [JSON.parse('{"__proto__":"x"}') as Record<string, string>, {}],
    [{ "\u00e9": "1" }, { "e\u0301": "1" }],
  ])("%j is not %j", async (one, two) => {
    const { ciphertextBlob } = await kms.encrypt({ plaintext: "x", encryptionContext: one });
    expect(text((await kms.decrypt({ ciphertextBlob, encryptionContext: one })).plaintext)).toBe("x");
    const error = await refusalOf(kms.decrypt({ ciphertextBlob, encryptionContext: two }));
    expect(error.code).toBe("COFFER_INVALID_CIPHERTEXT");
  });

  test("a lone surrogate is refused", async () => {
    const error = await refusalOf(kms.encrypt({ plaintext: "x", encryptionContext: { a: "\ud800" } }));
    expect([error.code, error.reason]).toEqual(["COFFER_INVALID_ARGUMENT", "ill-formed"]);
  });
});

describe("trap 10: context values are strings", () => {
  test.each([[{ a: 1 }], [{ a: null }], [["a"]], [new Map([["a", "b"]])], ["a=b"]])(
    "%j is refused",
    async (context) => {
      await expect(kms.encrypt({ plaintext: "x", encryptionContext: context as never })).rejects.toThrow(
        TypeError,
      );
    },
  );
});

describe("a ciphertext that this vault cannot decrypt is told apart before any key is used", () => {
  test("that of another vault", async () => {
    const { ciphertextBlob, keyId } = await other.encrypt({ plaintext: "x" });
    const error = await refusalOf(kms.decrypt({ ciphertextBlob }));
    expect([error.code, error.reason]).toEqual(["COFFER_INVALID_CIPHERTEXT", "other-vault"]);
    expect(error.details["keyId"]).toBe(keyId);
  });

  test("that of a key that never was", async () => {
    const { ciphertextBlob } = await kms.encrypt({ plaintext: "x" });
    const orphan = ciphertextBlob.slice();
    orphan.fill(0xaa, 8, 24);
    const error = await refusalOf(kms.decrypt({ ciphertextBlob: orphan }));
    expect(error.code).toBe("COFFER_NOT_FOUND");
    expect(error.message).toContain("aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa does not exist");
  });

  test.each([
    ["age-encryption.org/v1\n-> X25519", "age"],
    ["-----BEGIN AGE ENCRYPTED FILE-----\nYWdl", "age"],
    ["AQICAHhZ", "aws-kms"],
    ["hello", "not-base64"],
    ["", "empty"],
  ])("the text %j: reason %s", async (ciphertextBlob, reason) => {
    const error = await refusalOf(kms.decrypt({ ciphertextBlob }));
    expect([error.code, error.reason]).toEqual(["COFFER_INVALID_CIPHERTEXT", reason]);
  });

  test("an encrypted file of Coffer", async () => {
    const file = Uint8Array.of(0x89, 0x43, 0x4f, 0x46, 0x0d, 0x0a, 0x1a, 0x0a, 1, 1);
    expect((await refusalOf(kms.decrypt({ ciphertextBlob: file }))).reason).toBe("coffer-file");
  });
});

function pick({ ciphertextBlob }: { ciphertextBlob: Uint8Array }): { ciphertextBlob: Uint8Array } {
  return { ciphertextBlob };
}
