import { beforeAll, describe, expect, test } from "vitest";
import type { Kms } from "../../src/kms/kms.ts";
import { START_MS, type TestVault, testVaults } from "./kms-vault.ts";

const newVault = testVaults();
let opened: TestVault;
let kms: Kms;

beforeAll(async () => {
  opened = await newVault();
  kms = opened.vault.kms;
});

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/u;

async function newKeyId(): Promise<string> {
  return (await kms.createKey()).keyMetadata.keyId;
}

async function allKeyIds(limit: number): Promise<string[]> {
  const ids: string[] = [];
  let marker: string | undefined;
  do {
    const page = await kms.listKeys({ limit, marker });
    expect(page.keys.length).toBeLessThanOrEqual(limit);
    expect("nextMarker" in page).toBe(page.truncated);
    ids.push(...page.keys.map(({ keyId }) => keyId));
    marker = page.nextMarker;
  } while (marker !== undefined);
  return ids;
}

async function aliasesOf(keyId: string): Promise<string[]> {
  return (await kms.listAliases({ keyId })).aliases.map(({ aliasName }) => aliasName).sort();
}

describe("createKey", () => {
  test("answers what describeKey then answers", async () => {
    const { keyMetadata } = await kms.createKey({
      description: "for the server's key",
      alias: "alias/Apollo/WorkKey",
      tags: [{ tagKey: "team", tagValue: "apollo" }],
      keySpec: "SYMMETRIC_DEFAULT",
      keyUsage: "ENCRYPT_DECRYPT",
      origin: "COFFER_KMS",
    });
    expect(keyMetadata).toEqual({
      keyId: expect.stringMatching(UUID),
      creationDate: new Date(START_MS),
      enabled: true,
      keyState: "Enabled",
      description: "for the server's key",
      keyUsage: "ENCRYPT_DECRYPT",
      keySpec: "SYMMETRIC_DEFAULT",
      origin: "COFFER_KMS",
      encryptionAlgorithms: ["SYMMETRIC_DEFAULT"],
      keyVersion: 1,
      deletionProtection: false,
    });
    const byAlias = await kms.describeKey({ keyId: "alias/Apollo/WorkKey" });
    expect(byAlias).toEqual({ keyMetadata });
    expect(await kms.describeKey({ keyId: keyMetadata.keyId.toUpperCase() })).toEqual({ keyMetadata });
  });

  test("makes no key when the alias is taken", async () => {
    const before = await allKeyIds(1000);
    await expect(kms.createKey({ alias: "alias/default" })).rejects.toMatchObject({
      code: "COFFER_ALREADY_EXISTS",
    });
    expect(await allKeyIds(1000)).toEqual(before);
  });

  test("of two at once for one alias, one wins, and only one key is made", async () => {
    const before = await allKeyIds(1000);
    const both = await Promise.allSettled([1, 2].map(() => kms.createKey({ alias: "alias/race" })));
    expect(both.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
    expect(await allKeyIds(1000)).toHaveLength(before.length + 1);
  });

  test("takes a description of 8,192 bytes, and no more", async () => {
    const { keyMetadata } = await kms.createKey({ description: "é".repeat(4096) });
    expect((await kms.describeKey({ keyId: keyMetadata.keyId })).keyMetadata.description).toHaveLength(4096);
    await expect(kms.createKey({ description: "é".repeat(4097) })).rejects.toMatchObject({
      code: "COFFER_LIMIT_EXCEEDED",
    });
    await expect(kms.createKey({ description: "\udc00" })).rejects.toMatchObject({ reason: "ill-formed" });
  });

  test.each([
    [
      [
        { tagKey: "a", tagValue: "1" },
        { tagKey: "a", tagValue: "2" },
      ],
      "COFFER_INVALID_ARGUMENT",
    ],
    [[{ tagKey: "", tagValue: "" }], "COFFER_INVALID_ARGUMENT"],
    [[{ tagKey: "AWS:x", tagValue: "" }], "COFFER_INVALID_ARGUMENT"],
    [[{ tagKey: "k".repeat(129), tagValue: "" }], "COFFER_INVALID_ARGUMENT"],
    [[{ tagKey: "k", tagValue: "v".repeat(257) }], "COFFER_INVALID_ARGUMENT"],
    [Array.from({ length: 51 }, (_, i) => ({ tagKey: `k${i}`, tagValue: "" })), "COFFER_LIMIT_EXCEEDED"],
  ])("refuses tags that AWS refuses (%#)", async (tags, code) => {
    await expect(kms.createKey({ tags })).rejects.toMatchObject({ code });
  });

  test("refuses specs, usages and origins that there are not", async () => {
    for (const request of [{ keySpec: "RSA_1024" }, { keyUsage: "SIGN" }, { origin: "AWS_KMS" }]) {
      await expect(kms.createKey(request as never)).rejects.toMatchObject({
        code: "COFFER_INVALID_ARGUMENT",
      });
    }
  });
});

describe("describeKey", () => {
  test("without a key id tells of alias/default, which is protected from deletion", async () => {
    const { keyMetadata } = await kms.describeKey();
    expect(keyMetadata).toEqual((await kms.describeKey({ keyId: "alias/default" })).keyMetadata);
    expect(keyMetadata.deletionProtection).toBe(true);
  });

  test.each(["no-key", "alias/", "alias/a b", "", "00000000-0000-4000-8000-00000000000"])(
    "answers a malformed id %j as an unknown one",
    async (keyId) => {
      await expect(kms.describeKey({ keyId })).rejects.toMatchObject({ code: "COFFER_NOT_FOUND" });
    },
  );

  test("names the nearest aliases for a misspelt one", async () => {
    await kms.createKey({ alias: "alias/Zeus/WorkKey" });
    await expect(kms.describeKey({ keyId: "alias/zeus/workey" })).rejects.toMatchObject({
      code: "COFFER_NOT_FOUND",
      message: expect.stringContaining("id you mean alias/Zeus/WorkKey?") as string,
    });
  });
});

describe("listKeys", () => {
  test("lists every key once, page by page", async () => {
    const made = await Promise.all(Array.from({ length: 12 }, newKeyId));
    const inOne = await allKeyIds(1000);
    expect(new Set(inOne).size).toBe(inOne.length);
    expect(inOne).toEqual(expect.arrayContaining(made));
    expect(await allKeyIds(1)).toEqual(inOne);
    expect(await allKeyIds(inOne.length)).toEqual(inOne);
  });

  test("lists every key that was there throughout, while keys are made", async () => {
    const before = await allKeyIds(1000);
    const found: string[] = [];
    let marker: string | undefined;
    do {
      const page = await kms.listKeys({ limit: 5, marker });
      found.push(...page.keys.map(({ keyId }) => keyId));
      await newKeyId();
      marker = page.nextMarker;
    } while (marker !== undefined);
    expect(new Set(found).size).toBe(found.length);
    expect(found).toEqual(expect.arrayContaining(before));
  });

  test("refuses a limit out of range, and a marker that it did not give out", async () => {
    const invalid = { code: "COFFER_INVALID_ARGUMENT" };
    for (const limit of [0, 1001, 2.5]) await expect(kms.listKeys({ limit })).rejects.toMatchObject(invalid);
    const { nextMarker = "" } = await kms.listKeys({ limit: 1 });
    const { nextMarker: otherKind = "" } = await kms.listAliases({ limit: 1 });
    for (const marker of ["", "x", `${nextMarker}=`, nextMarker.slice(1), otherKind]) {
      await expect(kms.listKeys({ marker })).rejects.toMatchObject(invalid);
    }
  });
});

describe("aliases", () => {
  test("have slashes, and are listed with their dates", async () => {
    const targetKeyId = await newKeyId();
    await kms.createAlias({ aliasName: "alias/a/b:c_d-e", targetKeyId });
    const { aliases, truncated } = await kms.listAliases({ keyId: targetKeyId });
    const date = new Date(START_MS);
    expect({ aliases, truncated }).toEqual({
      aliases: [{ aliasName: "alias/a/b:c_d-e", targetKeyId, creationDate: date, lastUpdatedDate: date }],
      truncated: false,
    });
  });

  test("are listed once each, page by page", async () => {
    const targetKeyId = await newKeyId();
    const names = Array.from({ length: 7 }, (_, i) => `alias/page-${i}`);
    await Promise.all(names.map((aliasName) => kms.createAlias({ aliasName, targetKeyId })));
    for (const keyId of [undefined, targetKeyId]) {
      const found: string[] = [];
      let marker: string | undefined;
      do {
        const page = await kms.listAliases({ keyId, limit: 2, marker });
        found.push(...page.aliases.map(({ aliasName }) => aliasName));
        marker = page.nextMarker;
      } while (marker !== undefined);
      expect(new Set(found).size).toBe(found.length);
      expect(found).toEqual(expect.arrayContaining(names));
      if (keyId !== undefined) expect(found).toHaveLength(names.length);
    }
  });

  test.each(["default", "alias/", "alias/a b", "alias/é", "alias/aws/x", `alias/${"x".repeat(251)}`])(
    "named %j are refused",
    async (aliasName) => {
      const targetKeyId = await newKeyId();
      const invalid = { code: "COFFER_INVALID_ARGUMENT" };
      await expect(kms.createAlias({ aliasName, targetKeyId })).rejects.toMatchObject(invalid);
      await expect(kms.createKey({ alias: aliasName })).rejects.toMatchObject(invalid);
    },
  );

  test("that are taken are refused, by the same key too", async () => {
    const targetKeyId = await newKeyId();
    await kms.createAlias({ aliasName: "alias/taken", targetKeyId });
    const taken = { code: "COFFER_ALREADY_EXISTS", details: { aliasName: "alias/taken", targetKeyId } };
    await expect(kms.createAlias({ aliasName: "alias/taken", targetKeyId })).rejects.toMatchObject(taken);
  });

  test("take a key id as their target, not an alias", async () => {
    const request = { aliasName: "alias/of-alias", targetKeyId: "alias/default" };
    await expect(kms.createAlias(request)).rejects.toMatchObject({ code: "COFFER_INVALID_ARGUMENT" });
    await expect(kms.updateAlias({ ...request, aliasName: "alias/default" })).rejects.toMatchObject({
      code: "COFFER_INVALID_ARGUMENT",
    });
    await expect(kms.listAliases({ keyId: "alias/default" })).rejects.toMatchObject({
      code: "COFFER_INVALID_ARGUMENT",
    });
  });

  test("of a key that does not exist are refused", async () => {
    const targetKeyId = "00000000-0000-4000-8000-000000000000";
    const missing = { code: "COFFER_NOT_FOUND" };
    await expect(kms.createAlias({ aliasName: "alias/none", targetKeyId })).rejects.toMatchObject(missing);
    await expect(kms.updateAlias({ aliasName: "alias/default", targetKeyId })).rejects.toMatchObject(missing);
    await expect(kms.listAliases({ keyId: targetKeyId })).rejects.toMatchObject(missing);
  });

  test("that do not exist cannot be updated or deleted", async () => {
    const missing = { code: "COFFER_NOT_FOUND" };
    const aliasName = "alias/not-there";
    await expect(kms.updateAlias({ aliasName, targetKeyId: await newKeyId() })).rejects.toMatchObject(
      missing,
    );
    await expect(kms.deleteAlias({ aliasName })).rejects.toMatchObject(missing);
  });

  test("can be deleted, and made anew for another key; the key stays", async () => {
    const [a, b] = [await newKeyId(), await newKeyId()];
    await kms.createAlias({ aliasName: "alias/moved", targetKeyId: a });
    await kms.deleteAlias({ aliasName: "alias/moved" });
    await expect(kms.describeKey({ keyId: "alias/moved" })).rejects.toMatchObject({
      code: "COFFER_NOT_FOUND",
    });
    await kms.createAlias({ aliasName: "alias/moved", targetKeyId: b });
    expect((await kms.describeKey({ keyId: "alias/moved" })).keyMetadata.keyId).toBe(b);
    expect((await kms.describeKey({ keyId: a })).keyMetadata.enabled).toBe(true);
  });
});

describe("trap 16: an alias is resolved at the call", () => {
  test("after updateAlias new encryptions use the new key, and the alias as a constraint refuses old blobs", async () => {
    const [a, b] = [await newKeyId(), await newKeyId()];
    const aliasName = "alias/trap-16";
    await kms.createAlias({ aliasName, targetKeyId: a });
    const { ciphertextBlob } = await kms.encrypt({ keyId: aliasName, plaintext: "old" });
    await kms.updateAlias({ aliasName, targetKeyId: b });
    expect((await kms.encrypt({ keyId: aliasName, plaintext: "new" })).keyId).toBe(b);
    expect((await kms.decrypt({ ciphertextBlob })).keyId).toBe(a);
    expect((await kms.decrypt({ ciphertextBlob, keyId: a })).keyId).toBe(a);
    await expect(kms.decrypt({ ciphertextBlob, keyId: aliasName })).rejects.toMatchObject({
      code: "COFFER_INCORRECT_KEY",
      message: expect.stringContaining("alias/trap-16 now points to") as string,
    });
  });
});

describe("trap 17: updateAlias moves the alias", () => {
  test("it is there once, with a later date of its update", async () => {
    const [a, b] = [await newKeyId(), await newKeyId()];
    await kms.createAlias({ aliasName: "alias/trap-17", targetKeyId: a });
    opened.clock.nowMs += 1000;
    await kms.updateAlias({ aliasName: "alias/trap-17", targetKeyId: b });
    expect(await aliasesOf(a)).toEqual([]);
    const { aliases } = await kms.listAliases({ keyId: b });
    expect(aliases).toHaveLength(1);
    expect(aliases[0]).toMatchObject({
      aliasName: "alias/trap-17",
      lastUpdatedDate: new Date(opened.clock.nowMs),
    });
    expect(aliases[0]?.creationDate.getTime()).toBe(opened.clock.nowMs - 1000);
  });
});

describe("everything", () => {
  test("is there again after the vault was closed and opened", async () => {
    const { vault, reopen } = await newVault();
    const { keyMetadata } = await vault.kms.createKey({ alias: "alias/kept", description: "kept" });
    const { ciphertextBlob } = await vault.kms.encrypt({ keyId: "alias/kept", plaintext: "kept" });
    await vault.close();
    const again = await reopen();
    expect(await again.kms.describeKey({ keyId: "alias/kept" })).toEqual({ keyMetadata });
    const { plaintext } = await again.kms.decrypt({ ciphertextBlob });
    expect(new TextDecoder().decode(plaintext)).toBe("kept");
  });
});
