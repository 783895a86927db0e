import { availableParallelism } from "node:os";
import { defineConfig, type ViteUserConfig } from "vitest/config";

const config: ViteUserConfig = defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    pool: "forks",
    // One a core: by default a core is left idle, and half of the tests wait for the disk or for child processes.
    maxWorkers: Math.max(2, availableParallelism()),
    globalSetup: ["test/canary-watch.ts"],
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});

export default config;
