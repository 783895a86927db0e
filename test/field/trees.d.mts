/** One entry of a tree: `bytes` for a file. */
export interface Entry {
  readonly kind: "file" | "directory" | "other";
  /** Permission bits. */
  readonly mode: number;
  readonly bytes?: Buffer;
}

/** Entries by their paths from the top, in order. */
export type Tree = Map<string, Entry>;

/** Reads everything below a directory. */
export function readTree(directory: string): Tree;

/** Makes a directory hold exactly this tree. */
export function writeTree(directory: string, tree: ReadonlyMap<string, Entry>): void;

/** Says in what two trees differ; undefined when in nothing. */
export function differenceOf(
  before: ReadonlyMap<string, Entry>,
  after: ReadonlyMap<string, Entry>,
): string | undefined;

/** What a case does to one file of a tree. */
export interface TreeDamage {
  readonly tree: string;
  /** `whole` leaves everything. */
  readonly kind: "flip" | "cut" | "zero" | "delete" | "empty" | "whole";
  readonly file?: string;
  readonly at?: number;
  readonly bit?: number;
  readonly length?: number;
}

/** Returns a copy of the tree that a case names, damaged as it says. */
export function damagedTree(treeOf: (name: string) => ReadonlyMap<string, Entry>, damage: TreeDamage): Tree;
