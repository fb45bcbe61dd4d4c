/**
 * The library for tests' processes of their own: what is built where tests type that, because it starts in a fraction of the time,
 * else the source.
 */
const BUILT = "../../dist/index.js";
const library: typeof import("../../src/index.ts") =
  process.env.SMOLVM_TEST_CLI === undefined ? await import("../../src/index.ts") : await import(BUILT);
export const SmolVM: typeof library.SmolVM = library.SmolVM;
export const SandboxPool: typeof library.SandboxPool = library.SandboxPool;
