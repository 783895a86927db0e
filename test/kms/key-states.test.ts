import { createHash } from "node:crypto";
import { beforeAll, describe, expect, test } from "vitest";
import { fromHex } from "../../src/bytes.ts";
import { recordKey } from "../../src/formats/records/record-key.ts";
import { TABLES } from "../../src/formats/records/tables.ts";
import {
  KEY_STATE_TABLE,
  KEY_STATES,
  type KeyOperation,
  type KeyState,
} from "../../src/keystore/key-state.ts";
import { type Ground, grounds } from "./kms-ground.ts";

const newGround = grounds();
let ground: Ground;

beforeAll(async () => {
  ground = await newGround();
});

interface Subject {
  readonly keyId: string;
  /** Made by the key while it was enabled. */
  readonly ciphertextBlob: Uint8Array;
  /** An alias of the key. */
  readonly aliasName: string;
}

const DATA_KEY = new Uint8Array(32).fill(1);
const DIGEST = new Uint8Array(createHash("sha256").update(DATA_KEY).digest());
let aliases = 0;
const freshAlias = (): string => `alias/fresh-${aliases++}`;

/** How each operation meets the key whose state is judged. */
const CALLS: Readonly<Record<KeyOperation, (ground: Ground, subject: Subject) => Promise<unknown>>> = {
  encrypt: ({ kms }, { keyId }) => kms.encrypt({ keyId, plaintext: "x" }),
  decrypt: ({ kms }, { ciphertextBlob }) => kms.decrypt({ ciphertextBlob }),
  reEncryptFrom: ({ kms }, { ciphertextBlob }) =>
    kms.reEncrypt({ ciphertextBlob, destinationKeyId: "alias/default" }),
  reEncryptTo: async ({ kms }, { keyId }) => {
    const { ciphertextBlob } = await kms.encrypt({ plaintext: "x" });
    return kms.reEncrypt({ ciphertextBlob, destinationKeyId: keyId });
  },
  generateDataKey: ({ kms }, { keyId }) => kms.generateDataKey({ keyId, keySpec: "AES_256" }),
  generateDataKeyWithoutPlaintext: ({ kms }, { keyId }) =>
    kms.generateDataKeyWithoutPlaintext({ keyId, keySpec: "AES_256" }),
  encryptDataKey: ({ kms }, { keyId }) => kms.encryptDataKey({ keyId, plaintext: DATA_KEY, digest: DIGEST }),
  decryptDataKey: ({ kms }, { ciphertextBlob }) => kms.decryptDataKey({ ciphertextBlob }),
  describeKey: ({ kms }, { keyId }) => kms.describeKey({ keyId }),
  listAliases: ({ kms }, { keyId }) => kms.listAliases({ keyId }),
  deleteAlias: ({ kms }, { aliasName }) => kms.deleteAlias({ aliasName }),
  listResourceTags: ({ kms }, { keyId }) => kms.listResourceTags({ keyId }),
  getKeyLastUsage: ({ kms }, { keyId }) => kms.getKeyLastUsage({ keyId }),
  listKeyRotations: ({ kms }, { keyId }) => kms.listKeyRotations({ keyId }),
  getKeyRotationStatus: ({ kms }, { keyId }) => kms.getKeyRotationStatus({ keyId }),
  createAlias: ({ kms }, { keyId }) => kms.createAlias({ aliasName: freshAlias(), targetKeyId: keyId }),
  updateAlias: async ({ kms }, { keyId }) => {
    const aliasName = freshAlias();
    await kms.createKey({ alias: aliasName });
    await kms.updateAlias({ aliasName, targetKeyId: keyId });
  },
  tagResource: ({ kms }, { keyId }) => kms.tagResource({ keyId, tags: [{ tagKey: "a", tagValue: "b" }] }),
  untagResource: ({ kms }, { keyId }) => kms.untagResource({ keyId, tagKeys: ["a"] }),
  updateKeyDescription: ({ kms }, { keyId }) => kms.updateKeyDescription({ keyId, description: "new" }),
  setDeletionProtection: ({ kms }, { keyId }) =>
    kms.setDeletionProtection({ keyId, enableDeletionProtection: true }),
  enableKey: ({ kms }, { keyId }) => kms.enableKey({ keyId }),
  disableKey: ({ kms }, { keyId }) => kms.disableKey({ keyId }),
  enableKeyRotation: ({ kms }, { keyId }) => kms.enableKeyRotation({ keyId }),
  disableKeyRotation: ({ kms }, { keyId }) => kms.disableKeyRotation({ keyId }),
  rotateKeyOnDemand: ({ kms }, { keyId }) => kms.rotateKeyOnDemand({ keyId }),
  scheduleKeyDeletion: ({ kms }, { keyId }) => kms.scheduleKeyDeletion({ keyId }),
  cancelKeyDeletion: ({ kms }, { keyId }) => kms.cancelKeyDeletion({ keyId }),
};

const CODES = { disabled: "COFFER_KEY_DISABLED", invalid: "COFFER_INVALID_KEY_STATE" } as const;

async function subjectIn(state: KeyState): Promise<Subject> {
  const { kms } = ground;
  const aliasName = freshAlias();
  const { keyId } = (await kms.createKey({ alias: aliasName })).keyMetadata;
  const { ciphertextBlob } = await kms.encrypt({ keyId, plaintext: "x" });
  if (state === "Disabled") await kms.disableKey({ keyId });
  if (state === "PendingDeletion") await kms.scheduleKeyDeletion({ keyId });
  if (state === "PendingImport") await makePendingImport(keyId);
  return { keyId, ciphertextBlob, aliasName };
}

/** No call of this version leads there. */
async function makePendingImport(keyId: string): Promise<void> {
  const { keystore } = ground;
  const id = fromHex(keyId.replaceAll("-", ""));
  await keystore.change((transaction) => {
    const key = { ...keystore.key(id, transaction), state: "PendingImport" as const };
    transaction.put(TABLES.keys, recordKey.key(keystore.keys.name, id), key);
  });
}

describe.each(Object.keys(KEY_STATE_TABLE) as KeyOperation[])("%s", (operation) => {
  test.each(KEY_STATES)("on a key in the state %s does what the table says", async (state) => {
    const subject = await subjectIn(state);
    const verdict = KEY_STATE_TABLE[operation][state];
    const call = CALLS[operation](ground, subject);
    if (verdict === "ok") {
      await call;
    } else {
      await expect(call).rejects.toMatchObject({
        code: CODES[verdict],
        details: { keyId: subject.keyId, keyState: state },
      });
      expect((await ground.kms.describeKey({ keyId: subject.keyId })).keyMetadata.keyState).toBe(state);
    }
  });
});

describe("the table", () => {
  test("has the verdicts that AWS documents, cell by cell", () => {
    const shown = Object.entries(KEY_STATE_TABLE).map(
      ([operation, row]) => `${operation} ${KEY_STATES.map((state) => row[state]).join(" ")}`,
    );
    const crypto = "ok disabled invalid invalid";
    expect(shown.sort()).toEqual(
      [
        ...["encrypt", "decrypt", "reEncryptFrom", "reEncryptTo", "generateDataKey"].map(
          (name) => `${name} ${crypto}`,
        ),
        ...["generateDataKeyWithoutPlaintext", "encryptDataKey", "decryptDataKey"].map(
          (name) => `${name} ${crypto}`,
        ),
        ...["enableKeyRotation", "disableKeyRotation", "rotateKeyOnDemand"].map(
          (name) => `${name} ${crypto}`,
        ),
        ...[
          "describeKey",
          "listAliases",
          "deleteAlias",
          "listResourceTags",
          "getKeyLastUsage",
          "listKeyRotations",
        ].map((name) => `${name} ok ok ok ok`),
        ...["createAlias", "updateAlias", "tagResource", "untagResource", "updateKeyDescription"].map(
          (name) => `${name} ok ok invalid ok`,
        ),
        ...["setDeletionProtection", "scheduleKeyDeletion"].map((name) => `${name} ok ok invalid ok`),
        ...["enableKey", "disableKey"].map((name) => `${name} ok ok invalid invalid`),
        "getKeyRotationStatus ok ok ok invalid",
        "cancelKeyDeletion invalid invalid ok invalid",
      ].sort(),
    );
  });
});

describe("states", () => {
  test("enableKey and disableKey are idempotent, and undo each other", async () => {
    const { kms } = ground;
    const { keyId } = await subjectIn("Enabled");
    await kms.enableKey({ keyId });
    await kms.disableKey({ keyId });
    await kms.disableKey({ keyId });
    const { keyMetadata } = await kms.describeKey({ keyId });
    expect([keyMetadata.keyState, keyMetadata.enabled]).toEqual(["Disabled", false]);
    await kms.enableKey({ keyId });
    expect((await kms.describeKey({ keyId })).keyMetadata.enabled).toBe(true);
  });

  test("trap 24: a cancelled deletion leaves the key disabled, and without a date", async () => {
    const { kms } = ground;
    const { keyId } = await subjectIn("PendingDeletion");
    expect(await kms.cancelKeyDeletion({ keyId })).toEqual({ keyId });
    const { keyMetadata } = await kms.describeKey({ keyId });
    expect(keyMetadata.keyState).toBe("Disabled");
    expect(keyMetadata).not.toHaveProperty("deletionDate");
    expect(keyMetadata).not.toHaveProperty("pendingDeletionWindowInDays");
  });

  test("an alias leaves a key that is pending deletion, but does not come to one", async () => {
    const { kms } = ground;
    const [pending, enabled] = [await subjectIn("PendingDeletion"), await subjectIn("Enabled")];
    await kms.updateAlias({ aliasName: pending.aliasName, targetKeyId: enabled.keyId });
    const back = { aliasName: pending.aliasName, targetKeyId: pending.keyId };
    await expect(kms.updateAlias(back)).rejects.toMatchObject({ code: "COFFER_INVALID_KEY_STATE" });
  });

  test("trap 42: the state is judged before cryptography", async () => {
    const { ciphertextBlob } = await subjectIn("Disabled");
    const damaged = ciphertextBlob.slice();
    damaged[90] = (damaged[90] as number) ^ 1;
    await expect(ground.kms.decrypt({ ciphertextBlob: damaged })).rejects.toMatchObject({
      code: "COFFER_KEY_DISABLED",
    });
  });

  test("a refusal of a key pending deletion tells the date and how to cancel", async () => {
    const { keyId, ciphertextBlob } = await subjectIn("PendingDeletion");
    const { keyMetadata } = await ground.kms.describeKey({ keyId });
    const error: unknown = await ground.kms.decrypt({ ciphertextBlob }).catch((reason: unknown) => reason);
    expect((error as Error).message).toContain(keyMetadata.deletionDate?.toISOString());
    expect((error as Error).message).toContain("cancelKeyDeletion");
  });
});
