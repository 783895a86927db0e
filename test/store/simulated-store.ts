/**
 * The file store of a vault on a simulated disk: what is in it, and what a crash has left of it.
 * @module
 */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { isCofferError } from "../../src/errors.ts";
import { INLINE_BYTES } from "../../src/store/write-content.ts";
import type { Vault } from "../../src/vault.ts";
import type { VaultNotice } from "../../src/vault-events.ts";
import { SimulatedDisk } from "../storage/simulated-disk.ts";
import { create, open, type Outcome, VAULT } from "../storage/simulated-vault.ts";
import { bytesOf } from "./store-ground.ts";

/** More than lies in the index. */
export const LARGE_BYTES: number = INLINE_BYTES + 500;

/** All that the store says is in it, as one text: each name with its content, and what a check finds. */
export async function treeOf(_disk: SimulatedDisk, vault: Vault): Promise<string> {
  const lines: string[] = [];
  for await (const { path, kind, size, metadata } of vault.store.walk()) {
    const content = kind === "file" ? await contentOf(vault, path) : "";
    lines.push(`${path} ${kind} ${size} ${JSON.stringify(metadata)} ${content}`);
  }
  const { problems } = await vault.store.verify();
  return [...lines, ...problems.map((problem) => JSON.stringify(problem))].join("\n");
}

async function contentOf(vault: Vault, path: string): Promise<string> {
  try {
    return createHash("sha256")
      .update(await vault.store.read(path))
      .digest("base64");
  } catch (error) {
    if (!isCofferError(error)) throw error;
    return error.code;
  }
}

/** Opens the vault, reads its whole store, and closes it: then nothing may lie there that the store does not hold. */
export async function inspectStore(disk: SimulatedDisk, code?: string): Promise<Outcome> {
  const notices: VaultNotice[] = [];
  try {
    const vault = await open(disk, code, notices);
    vault.on("warning", (notice) => void notices.push(notice));
    vault.on("damage", (notice) => void notices.push(notice));
    const contents = await treeOf(disk, vault);
    const expected = [...contents.matchAll(/ file (\d+) /gu)].filter(
      ([, size]) => Number(size) > INLINE_BYTES,
    );
    await vault.close();
    const objects = objectsOn(disk);
    const left = disk.names(join(VAULT, "incoming"));
    if (objects.length !== expected.length) left.push(`${objects.length} objects of ${expected.length}`);
    const others = [...left, ...notices.map(({ message }) => message)];
    return { contents: [contents, ...others].join("\n") };
  } catch (error) {
    if (!isCofferError(error)) throw error;
    return { refused: [error.code, ...(error.reason === undefined ? [] : [error.reason])].join(" "), error };
  }
}

/** Names of all that lies in `objects/`. */
function objectsOn(disk: SimulatedDisk): string[] {
  const folder = join(VAULT, "objects");
  return disk.names(folder).flatMap((shard) => disk.names(join(folder, shard)));
}

export interface StoreFoundation {
  readonly disk: SimulatedDisk;
  readonly code: string;
  readonly contents: string;
}

/** A closed vault with small and large files. */
export async function storeFoundation(): Promise<StoreFoundation> {
  const disk = SimulatedDisk.empty();
  const { vault, code } = await create(disk);
  await vault.store.write("small", bytesOf(100), { metadata: { kind: "small" } });
  await vault.store.write("large", bytesOf(LARGE_BYTES), { metadata: { kind: "large" } });
  await vault.store.write("folder/large", bytesOf(LARGE_BYTES, 2));
  await vault.store.write("folder/deeper/small", bytesOf(10, 3));
  const contents = await treeOf(disk, vault);
  await vault.close();
  return { disk, code, contents };
}
