import { readdirSync, readFileSync } from "node:fs";
import { join, sep } from "node:path";
import { fileURLToPath } from "node:url";

/** The repository's root folder. */
export const root: string = fileURLToPath(new URL("..", import.meta.url));

const NOT_OURS = new Set([".git", "node_modules", "dist", "coverage", ".cache"]);

/** Every file of the project below `folder`, as sorted paths from the root with `/`; nothing that a build or an install made. */
export function filesBelow(folder = ""): string[] {
  const found: string[] = [];
  for (const entry of readdirSync(join(root, folder), { withFileTypes: true })) {
    const path = folder === "" ? entry.name : `${folder}/${entry.name}`;
    if (NOT_OURS.has(entry.name) || /\.(?:tgz|log)$/u.test(entry.name)) continue;
    if (entry.isDirectory()) found.push(...filesBelow(path));
    else found.push(path.replaceAll(sep, "/"));
  }
  return found.sort();
}

/** The text of a file of the project. */
export function textOf(path: string): string {
  return readFileSync(join(root, path), "utf8");
}
