import type { RunOptions } from "../../agent/types.ts";
import type { SmolVM } from "../../smolvm.ts";
import type { Outcome } from "../command.ts";
import { collectedRun } from "../render/collected.ts";

/** Runs a command and collects what it prints, for --json. Ctrl-C kills it. */
export async function collectGuestCommand(
  vm: SmolVM,
  command: readonly string[],
  options: Pick<RunOptions, "cwd" | "env" | "user" | "timeoutMs" | "signal"> & { stdin: boolean },
): Promise<Outcome> {
  const { stdin, ...rest } = options;
  try {
    const result = await vm.run(command, {
      ...rest,
      ...(stdin ? { stdin: process.stdin } : {}),
    });
    return { data: collectedRun(result), exitCode: result.exitCode };
  } finally {
    if (stdin) process.stdin.destroy();
  }
}
