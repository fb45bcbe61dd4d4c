import type { RunOptions } from "../../agent/types.ts";
import type { SmolVM } from "../../smolvm.ts";
import type { Outcome } from "../command.ts";
import { collectedRun } from "../render/collected.ts";
import { ownStdin } from "./stdin.ts";

/** Runs a command and collects what it prints, for --json. Ctrl-C kills it. */
export async function collectGuestCommand(
  vm: SmolVM,
  command: readonly string[],
  options: Pick<RunOptions, "cwd" | "env" | "user" | "timeoutMs" | "signal"> & { stdin: boolean },
): Promise<Outcome> {
  const { stdin, ...rest } = options;
  const source = stdin ? ownStdin() : undefined;
  try {
    const result = await vm.run(command, { ...rest, stdin: source });
    return { data: collectedRun(result), exitCode: result.exitCode };
  } finally {
    source?.destroy();
  }
}
