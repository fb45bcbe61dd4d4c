import { defineConfig, type ViteUserConfig } from "vitest/config";

/** How much slower than usual this machine is: scripts/test.sh measures it before the tests. */
const SPEED_FACTOR = Number(process.env.SMOLVM_SPEED_FACTOR ?? 1);

// unit: pure and fast, never spawns, listens or needs root. integration: real sockets, processes and VMs.
const config: ViteUserConfig = defineConfig({
  test: {
    projects: [
      { test: { name: "unit", include: ["tests/unit/**/*.test.ts"], testTimeout: 60_000 } },
      {
        test: {
          name: "integration",
          include: ["tests/integration/**/*.test.ts", "tests/contract/**/*.test.ts"],
          testTimeout: 120_000 * SPEED_FACTOR,
          hookTimeout: 300_000 * SPEED_FACTOR,
          fileParallelism: false,
        },
      },
    ],
  },
});

export default config;
