import { beforeAll, describe, expect, test } from "vitest";
import type { Kms } from "../../src/kms/kms.ts";
import type { Tag } from "../../src/kms/tags.ts";
import { testVaults } from "./kms-vault.ts";

const newVault = testVaults();
let kms: Kms;

beforeAll(async () => {
  kms = (await newVault()).vault.kms;
});

const INVALID = { code: "COFFER_INVALID_ARGUMENT" };
const manyTags = (count: number, prefix = "k"): Tag[] =>
  Array.from({ length: count }, (_, i) => ({ tagKey: `${prefix}${i}`, tagValue: `${i}` }));

async function newKeyId(tags: readonly Tag[] = []): Promise<string> {
  return (await kms.createKey({ tags })).keyMetadata.keyId;
}

async function tagsOf(keyId: string): Promise<Tag[]> {
  const { tags } = await kms.listResourceTags({ keyId });
  return [...tags].sort((a, b) => (a.tagKey < b.tagKey ? -1 : 1));
}

describe("tags", () => {
  test("are added, given another value, and removed", async () => {
    const keyId = await newKeyId([{ tagKey: "a", tagValue: "1" }]);
    await kms.tagResource({
      keyId,
      tags: [
        { tagKey: "a", tagValue: "2" },
        { tagKey: "A", tagValue: "" },
      ],
    });
    expect(await tagsOf(keyId)).toEqual([
      { tagKey: "A", tagValue: "" },
      { tagKey: "a", tagValue: "2" },
    ]);
    await kms.untagResource({ keyId, tagKeys: ["a", "never"] });
    expect(await tagsOf(keyId)).toEqual([{ tagKey: "A", tagValue: "" }]);
  });

  test("are 50 at most on one key, however they come", async () => {
    const keyId = await newKeyId(manyTags(49));
    await kms.tagResource({ keyId, tags: manyTags(1, "more") });
    const tooMany = { code: "COFFER_LIMIT_EXCEEDED" };
    await expect(kms.tagResource({ keyId, tags: manyTags(1, "beyond") })).rejects.toMatchObject(tooMany);
    await kms.tagResource({ keyId, tags: manyTags(49) });
    expect(await tagsOf(keyId)).toHaveLength(50);
  });

  test("are listed once each, page by page, and of one key only", async () => {
    const [keyId] = [await newKeyId(manyTags(23)), await newKeyId(manyTags(5, "other"))];
    const found: string[] = [];
    let marker: string | undefined;
    do {
      const page = await kms.listResourceTags({ keyId, limit: 10, marker });
      found.push(...page.tags.map(({ tagKey }) => tagKey));
      marker = page.nextMarker;
    } while (marker !== undefined);
    expect(found.sort()).toEqual(
      manyTags(23)
        .map(({ tagKey }) => tagKey)
        .sort(),
    );
    for (const limit of [0, 51])
      await expect(kms.listResourceTags({ keyId, limit })).rejects.toMatchObject(INVALID);
  });

  test("with a marker of another key are refused", async () => {
    const [a, b] = [await newKeyId(manyTags(3)), await newKeyId(manyTags(3))];
    const { nextMarker } = await kms.listResourceTags({ keyId: a, limit: 1 });
    await expect(kms.listResourceTags({ keyId: b, marker: nextMarker })).rejects.toMatchObject(INVALID);
  });

  test("given twice, reserved, or for an alias are refused", async () => {
    const keyId = await newKeyId();
    const twice = [...manyTags(1), ...manyTags(1)];
    await expect(kms.tagResource({ keyId, tags: twice })).rejects.toMatchObject({
      ...INVALID,
      reason: "duplicate",
    });
    await expect(kms.tagResource({ keyId, tags: [{ tagKey: "aws:x", tagValue: "" }] })).rejects.toMatchObject(
      INVALID,
    );
    await expect(kms.untagResource({ keyId, tagKeys: [""] })).rejects.toMatchObject(INVALID);
    await expect(kms.tagResource({ keyId: "alias/default", tags: manyTags(1) })).rejects.toMatchObject(
      INVALID,
    );
  });
});

describe("updateKeyDescription", () => {
  test("replaces the description, and keeps the rest", async () => {
    const { keyMetadata } = await kms.createKey({ description: "old" });
    const { keyId } = keyMetadata;
    await kms.updateKeyDescription({ keyId, description: "new" });
    expect((await kms.describeKey({ keyId })).keyMetadata).toEqual({ ...keyMetadata, description: "new" });
    await expect(kms.updateKeyDescription({ keyId, description: "x".repeat(8193) })).rejects.toMatchObject({
      code: "COFFER_LIMIT_EXCEEDED",
    });
  });
});
