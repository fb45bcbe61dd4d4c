import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { processPaths } from "../../src/host/files/paths.ts";
import { type ProgramResult, runProgram } from "../../src/host/process/run.ts";
import { Deadline } from "../../src/util/deadline.ts";
import { CHECKOUT, CLI } from "./cli.ts";
import { scaled } from "./speed.ts";

/**
 * Runs a bash script that has a whole machine of its own to set up, break and look at: tests/helpers/fake-host.sh says
 * which words it has. Needs root; an ordinary user's sudo must give it without asking.
 */
export async function fakeHost(
  script: string,
  options: { readonly timeoutMs?: number } = {},
): Promise<ProgramResult> {
  const folder = mkdtempSync(join(tmpdir(), "smf-"));
  try {
    return await runProgram(
      [
        ...(process.getuid?.() === 0 ? [] : ["sudo", "-n"]),
        ...["unshare", "--mount", "--pid", "--fork", "--kill-child", "--net"],
        ...["bash", join(import.meta.dirname, "fake-host.sh"), folder, CHECKOUT, processPaths().cacheDir],
        ...[CLI[0]!, CLI[1]!.replace(CHECKOUT, "/checkout")],
      ],
      {
        deadline: Deadline.of("the fake host", { timeoutMs: options.timeoutMs ?? scaled(60_000) }),
        stdin: script,
        check: false,
      },
    );
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** What a script printed between the line `== NAME` and the next such line. */
export function part(output: string, name: string): string {
  const found = output.split(`== ${name}\n`)[1];
  if (found === undefined)
    throw new Error(`there is no part ${name}: the script ended before it, after:\n${output}`);
  return found.split(/^== /m)[0] ?? "";
}
