import { copy } from "./copy.ts";
import { run } from "./run.ts";
import type { Step } from "./step.ts";
import { workdir } from "./workdir.ts";

const STEPS: Readonly<Record<string, (step: Step) => Promise<boolean>>> = {
  RUN: run,
  COPY: copy,
  ADD: copy,
  WORKDIR: workdir,
};

/** Carries out an instruction that changes files. @returns whether what it makes was known */
export async function carryOut(step: Step): Promise<boolean> {
  const { keyword } = step.instruction;
  const act = STEPS[keyword];
  if (act === undefined) throw step.fail(`${keyword} is not understood`);
  return await act(step);
}
