import { parseMount, type StepMount } from "../plan/mounts.ts";
import type { Step } from "./step.ts";

/** What RUN says with options. */
export interface RunOptions {
  readonly mounts: readonly StepMount[];
  readonly noNetwork: boolean;
}

/** @throws SmolVMError DOCKERFILE_INVALID */
export function runOptions(step: Step): RunOptions {
  const workdir = step.stage.state.config.WorkingDir ?? "/";
  const mounts: StepMount[] = [];
  let noNetwork = false;
  for (const { name, value = "" } of step.instruction.flags) {
    const expanded = step.expand(value);
    if (name === "mount") mounts.push(step.read(() => parseMount(expanded, workdir)));
    else if (name === "network" && ["default", "none"].includes(expanded)) noNetwork = expanded === "none";
    else throw step.fail(`RUN --${name}=${value} is not supported`);
  }
  const { secrets = {} } = step.build.options;
  for (const mount of mounts)
    if (mount.type === "secret" && mount.required && secrets[mount.id] === undefined)
      throw step.fail(
        `the secret '${mount.id}' is required, and was not given (--secret id=${mount.id},src=FILE)`,
      );
  return { mounts, noNetwork };
}
