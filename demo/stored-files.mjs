/**
 * The fourth story: an app's folder goes into the vault's file store, one file is streamed by range, all comes back.
 * @module
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { randomBytes } from "node:crypto";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { findPieces, piecesOf } from "./find-pieces.mjs";

const LETTERS = 100;
const CLIP_BYTES = 8_388_608;
const TEXT = "Dear reader, nobody else shall know what stands in this letter. ";

/**
 * Works in `folder`, which holds the vault's directory `my.vault`.
 * @param {{ vault: import("coffer").Vault, folder: string }} given and how to tell: `step`, `say`
 */
export async function storeFolder({ vault, folder, step, say }) {
  const [source, back] = ["attachments", "attachments-back"].map((name) => join(folder, name));
  const { store } = vault;
  await step(`makes a folder of ${LETTERS} letters and a clip: attachments`, async () => makeFolder(source));
  const imported = await step("imports it into the vault, durable when done", async () =>
    store.importFrom(source, "attachments"),
  );
  assert.equal(imported.files, LETTERS + 1);
  assert.equal(imported.skipped, 0);
  const listed = await step("lists it, with all below: the same names and lengths", async () => list(store));
  assert.deepEqual(listed, await listDisk(source));
  await step("searches every file of the vault for a name and a line of them: none", async () => {
    const { files, found } = await findPieces(
      join(folder, "my.vault"),
      piecesOf([Buffer.from(letterName(7)), Buffer.from(TEXT)]),
    );
    assert.deepEqual(found, []);
    assert.ok(files > LETTERS / 2, `only ${files} files were searched`);
  });
  await step("streams 1 MB from the middle of the clip, as a player would", async () => {
    const start = CLIP_BYTES / 2 - 1000;
    const end = start + 1_000_000;
    const clip = await readFile(join(source, "clip.mp4"));
    const pieces = [];
    for await (const piece of await store.readStream("attachments/clip.mp4", { start, end }))
      pieces.push(piece);
    assert.ok(Buffer.concat(pieces).equals(clip.subarray(start, end)));
  });
  await step("moves the folder with all in it, in one step: attachments to archive", async () =>
    store.move("attachments", "archive/attachments"),
  );
  await step("exports it into another folder: attachments-back", async () =>
    store.exportTo("archive/attachments", back),
  );
  await step("compares the two folders, byte by byte: equal", async () => {
    const names = await listDisk(source);
    assert.deepEqual(await listDisk(back), names);
    for (const [name] of names) {
      assert.ok((await readFile(join(source, name))).equals(await readFile(join(back, name))), name);
    }
  });
  await step("verifies the whole store: no problem", async () => {
    const { files, problems } = await store.verify();
    assert.deepEqual({ files, problems }, { files: LETTERS + 1, problems: [] });
  });
  await rm(back, { recursive: true });
  say("\nOn the disk are the number and lengths of larger files, and no names.");
}

/** Every other letter is long enough to lie in a file of its own. */
async function makeFolder(folder) {
  await mkdir(join(folder, "letters"), { recursive: true });
  await writeFile(join(folder, "clip.mp4"), randomBytes(CLIP_BYTES));
  for (let at = 0; at < LETTERS; at += 1) {
    await writeFile(join(folder, "letters", letterName(at)), TEXT.repeat(at % 2 === 0 ? 10 : 200));
  }
}

function letterName(at) {
  return `letter number ${at} to a reader.txt`;
}

/** Returns path below the directory and length of each file. */
async function list(store) {
  const found = [];
  for await (const { path, kind, size } of store.walk("attachments")) {
    if (kind === "file") found.push([path.slice("attachments/".length), size]);
  }
  return found.toSorted(([a], [b]) => (a < b ? -1 : 1));
}

async function listDisk(folder) {
  const found = [];
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    found.push([relative(folder, path).replaceAll("\\", "/"), (await readFile(path)).length]);
  }
  return found.toSorted(([a], [b]) => (a < b ? -1 : 1));
}
