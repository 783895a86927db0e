import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { describeVault } from "../../src/index.ts";
import { encodeHeader } from "../../src/formats/header.ts";
import { encodeSlotHeader } from "../../src/formats/slot-header.ts";
import { statedDate } from "../../src/formats/stated-date.ts";
import { scratchDirectories } from "../storage/scratch.ts";
import { kheader, vaultId } from "./header-sample.ts";

const scratch = scratchDirectories();

test("a time that no date can be is described as the last one that can", async () => {
  const createdAtMs = Number.MAX_SAFE_INTEGER;
  const id = new Uint8Array(16);
  const headerBytes = encodeSlotHeader({ id, createdAtMs, fields: { kind: "recovery" } });
  const slots = [{ headerBytes, sealed: new Uint8Array(104), label: "" }];
  const bytes = encodeHeader({ vaultId, generation: 1, sequence: 1, database: 1, slots }, kheader);
  const directory = join(await scratch(), "vault");
  await mkdir(directory);
  for (const name of ["header.0", "header.1"]) await writeFile(join(directory, name), bytes);
  const described = await describeVault(directory);
  const dates = described.exists ? described.slots.map(({ createdAt }) => createdAt.toISOString()) : [];
  expect(dates).toEqual(["+275760-09-13T00:00:00.000Z"]);
  expect(statedDate(1_800_000_000_000).toISOString()).toBe("2027-01-15T08:00:00.000Z");
});
