import { availableParallelism } from "node:os";
import { defineConfig, type ViteUserConfig } from "vitest/config";
import { scratchEnvironment } from "./test/scratch-space.ts";

/**
 * Files that get a process of their own: those that change what belongs to the whole process (mocked modules, the
 * umask, signals, global objects), that count what is open in it or read its memory, and those that take so long
 * that a start of their own costs nothing beside it.
 */
const ALONE = [
  "test/*.e2e.test.ts",
  "test/adapters/cli/*.e2e.test.ts",
  "test/memory/*.test.ts",
  "test/vault*.test.ts",
  "test/{canary,doctor,leaks,testing}.test.ts",
  "test/adapters/cli/key-changes.test.ts",
  "test/crypto/argon2id*.test.ts",
  "test/envelope/{files,passphrase-files,worker-pool}.test.ts",
  "test/formats/cbor.test.ts",
  "test/formats/records/set-sum.test.ts",
  "test/kms/{due-changes,kms.model}.test.ts",
  "test/store/store.damage.test.ts",
  "test/storage/{atomic-file,commit.model,crash-states,faults,level-store}.test.ts",
];

const config: ViteUserConfig = defineConfig({
  test: {
    pool: "forks",
    // Most tests are about what is in files, and not about the drive under them: they wait for none where the system has
    // files in memory. Those that are about it say so (`driveScratchDirectories`).
    env: scratchEnvironment,
    // One a core: by default a core is left idle, and half of the tests wait for the disk or for child processes.
    maxWorkers: Math.max(2, availableParallelism()),
    globalSetup: ["test/canary-watch.ts", "test/scratch-space.ts"],
    setupFiles: ["test/byte-equality.ts"],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // What is waited for comes at once on an idle machine, and late on a busy one.
    expect: { poll: { timeout: 30_000 } },
    projects: [
      { extends: true, test: { name: "alone", include: ALONE } },
      // Half of what these would take alone is loading the same modules again.
      {
        extends: true,
        test: { name: "together", include: ["test/**/*.test.ts"], exclude: ALONE, isolate: false },
      },
    ],
  },
});

export default config;
