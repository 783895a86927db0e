/**
 * Runs the field tests with their full numbers, or a share of them, and writes what they found to
 * docs/reliability.json. `npm run soak -- [--share 0.1] [--seed 7] [--only kill,damage]`. Failures print their seed.
 * @module
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";

const FILES = {
  damage: "test/vault.damage.test.ts",
  kill: "test/vault.kill.test.ts",
  strace: "test/vault.strace.test.ts",
  faults: "test/vault.faults.test.ts",
  crashes: "test/storage/commit.model.test.ts",
  calls: "test/storage/faults.test.ts",
  backup: "test/backup.crash.test.ts",
  kms: "test/kms/kms.model.test.ts",
  tokens: "test/tokens/ckr-matrix.e2e.test.ts",
  "file-damage": "test/envelope/files.damage.test.ts",
  "store-damage": "test/store/store.damage.test.ts",
  "large-file": ["test/envelope/files.large.test.ts", "test/store/store.large.test.ts"],
  store: [
    "test/store/file-store.model.test.ts",
    "test/store/crash-states.test.ts",
    "test/store/faults.test.ts",
    "test/store/file-store.kill.test.ts",
    "test/store/file-store.attacks.test.ts",
  ],
};
const SUITES = Object.keys(FILES);
const results = new URL("../docs/reliability.json", import.meta.url);

const { values } = parseArgs({
  options: {
    share: { type: "string", default: "1" },
    seed: { type: "string", default: String(Date.now() % 1_000_000) },
    only: { type: "string", default: SUITES.join(",") },
  },
});
const chosen = values.only.split(",");
const unknown = chosen.filter((name) => !SUITES.includes(name));
if (unknown.length > 0) {
  console.error(`unknown: ${unknown.join(", ")}; there are ${SUITES.join(", ")}`);
  process.exit(2);
}

const folder = mkdtempSync(join(tmpdir(), "coffer-soak-"));
const lines = join(folder, "results.jsonl");
let isGood = true;
try {
  for (const name of chosen) {
    const files = [FILES[name]].flat();
    console.log(`${files.join(", ")}: share ${values.share}, seed ${values.seed}`);
    const { status } = spawnSync("npx", ["--no-install", "vitest", "run", ...files], {
      stdio: "inherit",
      env: {
        ...process.env,
        COFFER_SOAK: values.share,
        COFFER_SEED: values.seed,
        COFFER_SOAK_RESULTS: lines,
      },
    });
    isGood &&= status === 0;
  }
  writeResults();
} finally {
  rmSync(folder, { recursive: true, force: true });
}
process.exit(isGood ? 0 : 1);

/** Replaces the results of the tests that ran, and keeps those of the others. */
function writeResults() {
  const known = existsSync(results) ? JSON.parse(readFileSync(results, "utf8")) : { tests: {} };
  const date = new Date().toISOString().slice(0, 10);
  const machine = `Node ${process.version}, ${process.platform} ${process.arch}, ${cpus().length} cores`;
  for (const line of existsSync(lines) ? readFileSync(lines, "utf8").trim().split("\n") : []) {
    const { test, ...result } = JSON.parse(line);
    known.tests[test] = { date, machine, ...result };
  }
  writeFileSync(results, `${JSON.stringify(known, undefined, 2)}\n`);
}
