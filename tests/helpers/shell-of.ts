import type { SmolVM } from "../../src/index.ts";

/** Runs lines of a sandbox's shell: what they print, or all that is said of how they failed. */
export const shellOf =
  (vm: () => SmolVM) =>
  async (script: string): Promise<string> => {
    const { stdout, stderr, exitCode } = await vm().run(script);
    return exitCode === 0 ? stdout : `${stdout}${stderr}exit ${exitCode}`;
  };
