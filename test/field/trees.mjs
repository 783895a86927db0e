/**
 * Whole directories as values, for tests and their child processes. trees.d.mts says what each function does.
 * @module
 */
import { lstatSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export function readTree(directory) {
  const tree = new Map();
  const walk = (below) => {
    for (const name of readdirSync(join(directory, below)).sort()) {
      const path = below === "" ? name : `${below}/${name}`;
      const stats = lstatSync(join(directory, path));
      const mode = stats.mode & 0o777;
      if (stats.isDirectory()) {
        tree.set(path, { kind: "directory", mode });
        walk(path);
      } else if (stats.isFile()) {
        tree.set(path, { kind: "file", mode, bytes: readFileSync(join(directory, path)) });
      } else {
        tree.set(path, { kind: "other", mode });
      }
    }
  };
  walk("");
  return tree;
}

export function writeTree(directory, tree) {
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { mode: 0o700 });
  for (const [path, entry] of tree) {
    if (entry.kind === "directory") mkdirSync(join(directory, path), { mode: entry.mode });
    else writeFileSync(join(directory, path), entry.bytes ?? Buffer.alloc(0), { mode: entry.mode });
  }
}

export function differenceOf(before, after) {
  for (const [path, entry] of before) {
    const now = after.get(path);
    if (now === undefined) return `${path} is gone`;
    if (now.kind !== entry.kind) return `${path} is a ${now.kind}`;
    if (now.mode !== entry.mode) return `${path} has mode ${now.mode.toString(8)}`;
    if (entry.bytes !== undefined && !entry.bytes.equals(now.bytes ?? Buffer.alloc(0)))
      return `${path} has changed`;
  }
  for (const path of after.keys()) if (!before.has(path)) return `${path} is new`;
  return undefined;
}

export function damagedTree(treeOf, { tree, file, kind, at, bit, length }) {
  const copy = new Map(treeOf(tree));
  if (kind === "whole") return copy;
  const entry = copy.get(file);
  const bytes = Buffer.from(entry.bytes);
  if (kind === "delete") {
    copy.delete(file);
    return copy;
  }
  if (kind === "empty") {
    copy.set(file, { ...entry, bytes: Buffer.alloc(0) });
    return copy;
  }
  if (kind === "flip") bytes[at] ^= 1 << bit;
  if (kind === "zero") bytes.fill(0, at, Math.min(at + length, bytes.length));
  copy.set(file, { ...entry, bytes: kind === "cut" ? bytes.subarray(0, at) : bytes });
  return copy;
}
