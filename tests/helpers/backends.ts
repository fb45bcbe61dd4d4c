import type { VMConfig } from "../../src/config/options.ts";

/**
 * The backends that the contract suite runs on: SMOLVM_TEST_BACKENDS (comma separated), default qemu. A backend that
 * is named must work: the suite skips nothing but what a backend declares that it lacks.
 */
export const BACKENDS: readonly string[] = (process.env.SMOLVM_TEST_BACKENDS ?? "qemu").split(",");

/** The smallest sandbox that serves a test: no network card, little memory. */
export function small(backend: string, options: VMConfig = {}): VMConfig {
  return { backend, network: "off", memSizeMib: 256, ...options };
}
