import { SmolVMError } from "../../errors.ts";
import type { BuildMachine } from "../machine/machine.ts";
import type { PreparedRun } from "./run-mounts.ts";
import type { Step } from "./step.ts";

/** Of a failed step's output, kept for the error. */
const OUTPUT_TAIL_BYTES = 4096;

/** How the command of a step has ended. */
export interface Ended {
  readonly exitCode: number;
  readonly signal: string | undefined;
  /** the last of what it printed */
  readonly output: string;
}

/** Runs the command of a step, and tells what it prints. @param variables what it has besides secrets */
export async function execute(
  { build, number }: Step,
  { vm }: BuildMachine,
  { command, cwd, user, env }: PreparedRun,
  variables: Readonly<Record<string, string>>,
): Promise<Ended> {
  const { deadline, report } = build;
  let tail = Buffer.alloc(0);
  const output = (name: "stdout" | "stderr") => (data: Uint8Array) => {
    tail = Buffer.concat([tail, data]).subarray(-OUTPUT_TAIL_BYTES);
    report.output(number, name, data);
  };
  const { exitCode, signal } = await vm
    .run([...command], {
      env: { ...variables, ...env },
      cwd,
      user,
      capture: false,
      onStdout: output("stdout"),
      onStderr: output("stderr"),
      signal: deadline.signal,
    })
    .catch((error: unknown) => {
      if (deadline.expired) throw deadline.error();
      throw error;
    });
  return { exitCode, signal, output: tail.toString("utf8") };
}

/** The error for a command that has failed. */
export function stepFailed(
  { build, instruction: { line, shown } }: Step,
  { exitCode, signal, output }: Ended,
): SmolVMError {
  const { file } = build.plan;
  return new SmolVMError("STEP_FAILED", `${file}:${line}: ${shown}: ${signal ?? `exit code ${exitCode}`}`, {
    hint: `Change line ${line} of ${build.file ?? "it"}, and build again: what came before it is kept.`,
    details: { file, line, instruction: shown, exitCode, output },
  });
}
