import { createInterface } from "node:readline/promises";
import { SmolVMError } from "../../errors.ts";
import { isTerminal } from "../../host/terminal/is-terminal.ts";

/** Whether a person can be asked: stdin and stderr are terminals. */
export function canAsk(): boolean {
  return isTerminal(0) && isTerminal(2);
}

/** Asks on stderr; anything but y or yes is a no. Ctrl-C aborts by `signal`, Ctrl-D is a no. */
export async function confirm(question: string, signal: AbortSignal): Promise<boolean> {
  const reader = createInterface({ input: process.stdin, output: process.stderr });
  try {
    // Without this readline would swallow Ctrl-C: it reads the terminal in raw mode.
    reader.on("SIGINT", () => process.kill(process.pid, "SIGINT"));
    const ended = new Promise<string>((resolve) => reader.once("close", () => resolve("")));
    const answer = await Promise.race([reader.question(`${question} [y/N] `, { signal }), ended]);
    return /^y(es)?$/i.test(answer.trim());
  } catch (error) {
    if (!signal.aborted) throw error;
    process.stderr.write("\n"); // the answer's line was never ended
    throw new SmolVMError("ABORTED", "interrupted", { cause: error });
  } finally {
    reader.close();
  }
}
