/**
 * Packs the built package and checks the tarball: what is in it, publint, and whether its types resolve.
 * Expects a finished build. `--keep FOLDER` leaves the tarball there.
 * @module
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, posix } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const keepAt = process.argv.indexOf("--keep");
const keep = keepAt === -1 ? undefined : process.argv[keepAt + 1];
const folder = keep ?? mkdtempSync(join(tmpdir(), "coffer-pack-"));
mkdirSync(folder, { recursive: true });

try {
  const [packed] = JSON.parse(
    run("npm", ["pack", "--ignore-scripts", "--json", "--pack-destination", folder], "pipe"),
  );
  const paths = packed.files.map((file) => file.path);
  checkContents(paths);
  checkMaps(paths);
  process.stdout.write(`${packed.filename}: ${paths.length} files, ${packed.unpackedSize} bytes unpacked\n`);
  const tarball = join(folder, packed.filename);
  run("npx", ["--no-install", "publint", "--strict", tarball]);
  run("npx", ["--no-install", "attw", "--profile", "esm-only", tarball]);
} finally {
  if (keep === undefined) rmSync(folder, { recursive: true, force: true });
}

function run(command, args, stdout = "inherit") {
  const { status, stdout: text } = spawnSync(command, args, {
    cwd: root,
    encoding: "utf8",
    stdio: ["ignore", stdout, "inherit"],
  });
  assert.equal(status, 0, `${command} ${args.join(" ")}: exit ${status}`);
  return text;
}

/** Only what `files` of package.json names and npm adds by itself; no tests; every entry point there. */
function checkContents(paths) {
  const allowed =
    /^(?:dist\/.+\.(?:c?js|d\.ts|js\.map)|docs\/.+|(?:README|CHANGELOG|SECURITY)\.md|LICENSE|package\.json)$/u;
  for (const path of paths) {
    assert.match(path, allowed, `${path} must not be in the package`);
    assert.doesNotMatch(path, /\.test\.|fixtures\//u, `${path} must not be in the package`);
  }
  const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  const entries = Object.values(manifest.exports).flatMap((entry) =>
    typeof entry === "string" ? [entry] : Object.values(entry),
  );
  const targets = [...entries, ...Object.values(manifest.bin)];
  for (const path of [...targets.map((target) => target.slice(2)), "README.md", "LICENSE", "CHANGELOG.md"]) {
    assert.ok(paths.includes(path), `${path} is missing from the package`);
  }
}

/** The sources are not shipped as files, so every map must carry them. */
function checkMaps(paths) {
  for (const path of paths.filter((name) => name.endsWith(".js"))) {
    assert.ok(paths.includes(`${path}.map`), `${path} has no source map`);
    const map = JSON.parse(readFileSync(join(root, `${path}.map`), "utf8"));
    assert.equal(map.sourcesContent?.length, map.sources.length, `${path}.map lacks its sources`);
    for (const source of map.sources) {
      assert.ok(!posix.isAbsolute(source), `${path}.map names a path of the machine that built it`);
    }
  }
}
