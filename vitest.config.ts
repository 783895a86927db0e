import { defineConfig, type ViteUserConfig } from "vitest/config";

const config: ViteUserConfig = defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    pool: "forks",
    globalSetup: ["test/canary-watch.ts"],
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});

export default config;
