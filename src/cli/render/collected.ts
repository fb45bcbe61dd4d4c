import type { RunResult } from "../../agent/types.ts";

/** What `--json` says of a command that ran in the guest. */
export interface CollectedRun {
  /** what smolvm exits with too: 128+n if a signal ended the command */
  readonly exitCode: number;
  readonly signal: string | null;
  readonly stdout: string;
  readonly stderr: string;
  /** the exact bytes, only when they are not valid UTF-8 (then the text has U+FFFD in it) */
  readonly stdoutBase64?: string;
  readonly stderrBase64?: string;
  readonly durationMs: number;
}

/** The JSON form of a result. Pure. */
export function collectedRun(result: RunResult): CollectedRun {
  return {
    exitCode: result.exitCode,
    signal: result.signal ?? null,
    ...output("stdout", result.stdoutBytes),
    ...output("stderr", result.stderrBytes),
    durationMs: Math.round(result.durationMs),
  } as CollectedRun;
}

function output(name: "stdout" | "stderr", bytes: Uint8Array): Record<string, string> {
  try {
    return { [name]: new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes) };
  } catch {
    return {
      [name]: new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes),
      [`${name}Base64`]: Buffer.from(bytes).toString("base64"),
    };
  }
}
