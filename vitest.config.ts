import { defineConfig, type ViteUserConfig } from "vitest/config";
import { SPEED_FACTOR } from "./tests/helpers/speed.ts";

// unit: pure and fast, never spawns, listens or needs root. integration: real sockets, processes and VMs.
// lab: what needs a KVM, or a machine to break; only inside of the lab (tests/lab/).
const config: ViteUserConfig = defineConfig({
  test: {
    projects: [
      { test: { name: "unit", include: ["tests/unit/**/*.test.ts"], testTimeout: 60_000 } },
      {
        test: {
          name: "integration",
          include: ["tests/integration/**/*.test.ts", "tests/contract/**/*.test.ts"],
          setupFiles: ["tests/helpers/leave-out.ts"],
          testTimeout: 120_000 * SPEED_FACTOR,
          hookTimeout: 300_000 * SPEED_FACTOR,
          fileParallelism: false,
        },
      },
      {
        test: {
          name: "lab",
          include: ["tests/lab/tests/**/*.test.ts"],
          testTimeout: 120_000 * SPEED_FACTOR,
          hookTimeout: 300_000 * SPEED_FACTOR,
          fileParallelism: false,
        },
      },
    ],
  },
});

export default config;
