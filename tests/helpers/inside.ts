import { runProgram } from "../../src/host/run.ts";
import { Deadline } from "../../src/util/deadline.ts";
import { scaled } from "./speed.ts";

/**
 * Runs a shell script where a VMM is and as what it is: in its namespaces, seeing its files, without capabilities. Its shell
 * is the machine's own, which the VMM sees too.
 */
export async function inside(
  pid: number,
  script: string,
): Promise<{ code: number | undefined; said: string }> {
  const { code, stdout, stderr } = await runProgram(
    [
      ...["nsenter", "--target", String(pid), "--user", "--preserve-credentials"],
      ...["--mount", "--pid", "--net", "--ipc", "--uts"],
      ...["setpriv", "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"],
      ...["sh", "-c", script],
    ],
    { deadline: Deadline.of("a look from inside", { timeoutMs: scaled(20_000) }), check: false },
  );
  return { code, said: stdout + stderr };
}
