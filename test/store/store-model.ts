/**
 * What the file store must do, as a tree of plain maps. Each call happens at one moment, whole or not at all.
 * @module
 */
import { createHash } from "node:crypto";
import { isCofferError } from "../../src/errors.ts";
import type { StoreMetadata } from "../../src/formats/store-metadata.ts";
import type { Vault } from "../../src/vault.ts";
import { all, bytesOf } from "./store-ground.ts";

export interface ModelFile {
  readonly content: Uint8Array;
  readonly metadata: StoreMetadata;
}
export type Tree = Map<string, ModelFile | Tree>;

interface Paths {
  readonly path: string;
  readonly to: string;
}

export interface Call extends Paths {
  readonly operation: Operation;
  readonly size: number;
  readonly seed: number;
  /** Overwrites, or removes recursively. */
  readonly flag: boolean;
  readonly isStream: boolean;
  readonly metadata: StoreMetadata | undefined;
}

export const OPERATIONS = [
  "write",
  "createDirectory",
  "move",
  "copy",
  "remove",
  "read",
  "readStream",
  "list",
  "walk",
  "stat",
  "usage",
  "reencrypt",
  "verify",
] as const;
export type Operation = (typeof OPERATIONS)[number];

/** What a call came to: an answer as a text, or `!` and the error's code and reason. */
export type Outcome = string;

/** A refusal of the model. */
class Refused extends Error {}

const NOT_FOUND = "COFFER_NOT_FOUND";
const EXISTS = "COFFER_ALREADY_EXISTS";
const invalid = (reason: string): string => `COFFER_INVALID_ARGUMENT ${reason}`;

export function cloneOf(tree: Tree): Tree {
  return new Map([...tree].map(([name, node]) => [name, node instanceof Map ? cloneOf(node) : node]));
}

/** All that is in a tree, as one text. */
export function textOf(tree: Tree): string {
  return entriesOf(tree, "", true).map(lineOf).join("\n");
}

/** Contents that lie in objects. */
export function objectsIn(tree: Tree, inlineBytes: number): number {
  return entriesOf(tree, "", true).filter(({ node }) => sizeOf(node) > inlineBytes).length;
}

/** Performs a call on the tree, or leaves it as it is. */
export function applyTo(tree: Tree, call: Call): Outcome {
  const trial = cloneOf(tree);
  try {
    const answer = perform(trial, call);
    tree.clear();
    for (const [name, node] of trial) tree.set(name, node);
    return answer;
  } catch (error) {
    if (error instanceof Refused) return `!${error.message}`;
    throw error;
  }
}

/** Performs a call on a vault. Rejects with anything but a `CofferError`. */
export async function callOn(vault: Vault, call: Call): Promise<Outcome> {
  try {
    return await performOn(vault, call);
  } catch (error) {
    if (!isCofferError(error)) throw error;
    return `!${[error.code, ...(error.reason === undefined ? [] : [error.reason])].join(" ")}`;
  }
}

/** All that is in a store, as {@link textOf} has it. */
export async function textOfStore({ store }: Vault): Promise<string> {
  const lines: string[] = [];
  for await (const { path, kind, size, metadata } of store.walk()) {
    const content = kind === "file" ? await store.read(path) : undefined;
    lines.push(describe(path, size, content, metadata));
  }
  return lines.join("\n");
}

interface Entry {
  readonly path: string;
  readonly node: ModelFile | Tree;
}

function perform(tree: Tree, call: Call): string {
  const { operation, path, to, flag } = call;
  switch (operation) {
    case "write": {
      const file = { content: bytesOf(call.size, call.seed), metadata: call.metadata ?? {} };
      put(tree, path, file, flag);
      return `${call.size}`;
    }
    case "createDirectory": {
      if (path === "") return "";
      const { folder, name } = placeIn(tree, path);
      const node = folder.get(name);
      if (node !== undefined && !(node instanceof Map)) throw new Refused(EXISTS);
      if (node === undefined) folder.set(name, new Map());
      return "";
    }
    case "move":
      move(tree, path, to, flag);
      return "";
    case "copy":
      copy(tree, path, to, flag);
      return "";
    case "remove": {
      if (path === "") throw new Refused(invalid("root"));
      const node = existing(tree, path);
      if (node instanceof Map && node.size > 0 && !flag) throw new Refused(invalid("not-empty"));
      const { folder, name } = placeIn(tree, path);
      folder.delete(name);
      return "";
    }
    case "read":
      return digestOf(fileAt(tree, path).content);
    case "readStream":
      return digestOf(fileAt(tree, path).content.subarray(...rangeOf(call)));
    case "stat": {
      if (path === "") throw new Refused(invalid("root"));
      const node = existing(tree, path);
      return lineOf({ path, node });
    }
    case "list":
    case "walk":
      return entriesOf(folderAt(tree, path), path, operation === "walk")
        .map(lineOf)
        .join("\n");
    case "usage": {
      const nodes = entriesOf(folderAt(tree, path), path, true).map(({ node }) => node);
      const files = nodes.filter((node) => !(node instanceof Map));
      const bytes = files.reduce((sum, node) => sum + sizeOf(node), 0);
      return `${files.length} ${nodes.length - files.length} ${bytes}`;
    }
    case "reencrypt":
      if (path !== "") void existing(tree, path);
      return "";
    default:
      return "[]";
  }
}

async function performOn({ store }: Vault, call: Call): Promise<string> {
  const { operation, path, to, flag, metadata } = call;
  switch (operation) {
    case "write": {
      const content = bytesOf(call.size, call.seed);
      const source = call.isStream ? piecesOf(content, 1 + ((call.seed * 997) % 5000)) : content;
      return `${(await store.write(path, source, { overwrite: flag, metadata })).size}`;
    }
    case "createDirectory":
      await store.createDirectory(path);
      return "";
    case "move":
      await store.move(path, to, { overwrite: flag });
      return "";
    case "copy":
      await store.copy(path, to, { overwrite: flag });
      return "";
    case "remove":
      await store.remove(path, { recursive: flag });
      return "";
    case "read":
      return digestOf(await store.read(path));
    case "readStream": {
      const [start, end] = rangeOf(call);
      return digestOf(Buffer.concat(await all(await store.readStream(path, { start, end }))));
    }
    case "stat": {
      const { size, kind, metadata: found } = await store.stat(path);
      return describe(path, size, kind === "file" ? await store.read(path) : undefined, found);
    }
    case "list":
    case "walk": {
      const lines: string[] = [];
      for await (const entry of operation === "list" ? store.list(path) : store.walk(path)) {
        const content = entry.kind === "file" ? await store.read(entry.path) : undefined;
        lines.push(describe(entry.path, entry.size, content, entry.metadata));
      }
      return lines.join("\n");
    }
    case "usage": {
      const { files, directories, bytes } = await store.usage(path);
      return `${files} ${directories} ${bytes}`;
    }
    case "reencrypt":
      await store.reencrypt(path);
      return "";
    default:
      return JSON.stringify((await store.verify()).problems);
  }
}

async function* piecesOf(content: Uint8Array, pieceBytes: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < content.length; at += pieceBytes) yield content.subarray(at, at + pieceBytes);
}

function rangeOf({ size, seed }: Call): [start: number, end: number] {
  const start = (seed * 131) % (size + 1);
  return [start, start + ((seed * 7919) % 70_000)];
}

function put(tree: Tree, path: string, file: ModelFile, overwrite: boolean): void {
  if (path === "") throw new Refused(invalid("is-directory"));
  const { folder, name } = placeIn(tree, path);
  const before = folder.get(name);
  if (before !== undefined && (before instanceof Map || !overwrite)) throw new Refused(EXISTS);
  folder.set(name, file);
}

function move(tree: Tree, from: string, to: string, overwrite: boolean): void {
  if (from === "" || to === "") throw new Refused(invalid("root"));
  const source = existing(tree, from);
  if (source instanceof Map && to.startsWith(`${from}/`)) throw new Refused(invalid("into-itself"));
  const target = placeIn(tree, to);
  if (from === to) return;
  const before = target.folder.get(target.name);
  const areFiles = before !== undefined && !(before instanceof Map) && !(source instanceof Map);
  if (before !== undefined && !(areFiles && overwrite)) throw new Refused(EXISTS);
  const { folder, name } = placeIn(tree, from);
  folder.delete(name);
  target.folder.set(target.name, source);
}

function copy(tree: Tree, from: string, to: string, overwrite: boolean): void {
  if (from === "") throw new Refused(invalid("root"));
  const source = existing(tree, from);
  if (to === "") throw new Refused(invalid("is-directory"));
  const present = find(tree, to);
  if (present !== undefined && (present instanceof Map || source instanceof Map || !overwrite)) {
    throw new Refused(EXISTS);
  }
  const copied = source instanceof Map ? cloneOf(source) : source;
  const { folder, name } = placeIn(tree, to);
  folder.set(name, copied);
}

function find(tree: Tree, path: string): ModelFile | Tree | undefined {
  let node: ModelFile | Tree | undefined = tree;
  for (const name of path === "" ? [] : path.split("/")) {
    node = node instanceof Map ? node.get(name) : undefined;
  }
  return node;
}

function existing(tree: Tree, path: string): ModelFile | Tree {
  const node = find(tree, path);
  if (node === undefined) throw new Refused(NOT_FOUND);
  return node;
}

function fileAt(tree: Tree, path: string): ModelFile {
  if (path === "") throw new Refused(invalid("is-directory"));
  const node = existing(tree, path);
  if (node instanceof Map) throw new Refused(invalid("is-directory"));
  return node;
}

function folderAt(tree: Tree, path: string): Tree {
  const node = existing(tree, path);
  if (!(node instanceof Map)) throw new Refused(invalid("not-directory"));
  return node;
}

/** Makes the directories on the way. */
function placeIn(tree: Tree, path: string): { readonly folder: Tree; readonly name: string } {
  const parts = path.split("/");
  let folder = tree;
  for (const part of parts.slice(0, -1)) {
    const next = folder.get(part) ?? new Map();
    if (!(next instanceof Map)) throw new Refused(invalid("not-directory"));
    folder.set(part, next);
    folder = next;
  }
  return { folder, name: parts.at(-1) ?? "" };
}

function entriesOf(tree: Tree, path: string, isDeep: boolean): Entry[] {
  const names = [...tree.keys()].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  return names.flatMap((name) => {
    const node = tree.get(name) as ModelFile | Tree;
    const entry = { path: path === "" ? name : `${path}/${name}`, node };
    return node instanceof Map && isDeep ? [entry, ...entriesOf(node, entry.path, true)] : [entry];
  });
}

function sizeOf(node: ModelFile | Tree): number {
  return node instanceof Map ? 0 : node.content.length;
}

function lineOf({ path, node }: Entry): string {
  if (node instanceof Map) return describe(path, 0, undefined, {});
  return describe(path, node.content.length, node.content, node.metadata);
}

function describe(
  path: string,
  size: number,
  content: Uint8Array | undefined,
  metadata: StoreMetadata,
): string {
  return [
    path,
    size,
    content === undefined ? "" : digestOf(content),
    JSON.stringify(Object.entries(metadata)),
  ].join(" ");
}

function digestOf(content: Uint8Array): string {
  return createHash("sha256").update(content).digest("base64");
}
