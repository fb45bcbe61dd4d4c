import { SmolVMError } from "../errors.ts";

/** What the set-up script said of one thing. */
export interface SetupStep {
  /** `ok` as it should be, `change` done now, `missing` and `would` to be done, `note` to be known */
  readonly status: "ok" | "change" | "missing" | "would" | "note";
  readonly text: string;
}

/** The lines of the script's output (scripts/setup/lib.sh writes them): a status of nine columns and a sentence. Pure. */
export function readSteps(output: string): SetupStep[] {
  return output.split("\n").flatMap((line) => {
    const [, status, text] = /^(ok|change|missing|would|note) +(.*)$/.exec(line) ?? [];
    return text === undefined ? [] : [{ status: status as SetupStep["status"], text }];
  });
}

/** The error of a script that failed: its own sentence, and its remedies as the hint. Pure. */
export function setupFailed(
  argv: readonly string[],
  result: { readonly stderr: string; readonly code: number | undefined; readonly signal: string | undefined },
): SmolVMError {
  const lines = result.stderr.trimEnd().split("\n");
  const at = lines.findIndex((line) => line.startsWith("error "));
  const message = (at < 0 ? lines.at(-1) : lines[at]?.replace(/^error +/, "")) || "the set-up script failed";
  const remedies = at < 0 ? [] : lines.slice(at + 1).map((line) => line.trim());
  return new SmolVMError("HOST_FAILED", message, {
    hint: remedies.length === 0 ? undefined : remedies.join("\n      "),
    details: {
      argv: [...argv],
      exitCode: result.code,
      signal: result.signal,
      stderr: lines.slice(-20).join("\n"),
    },
  });
}
