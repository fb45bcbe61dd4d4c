import { splitVariable } from "../../images/dockerfile/state.ts";
import { isProxy } from "../build-arguments.ts";
import type { BuildMachine } from "../machine/machine.ts";
import type { StepMount } from "../plan/mounts.ts";
import { type Bound, type BoundFiles, boundFiles } from "./bound-files.ts";
import { execute, stepFailed } from "./execute.ts";
import { IN_MEMORY } from "./places.ts";
import { runCommand } from "./run-command.ts";
import { prepareRun } from "./run-mounts.ts";
import { runOptions } from "./run-options.ts";
import type { Step } from "./step.ts";

/** A here-document that is a program by its first line is put here: a step can execute it, and no layer has it. */
const SCRIPT = `${IN_MEMORY}/script`;

/** RUN: a command in the stage's sandbox, with what it wants mounted. */
export async function run(step: Step): Promise<boolean> {
  const { build, stage, instruction } = step;
  const { config, args } = stage.state;
  const options = runOptions(step);
  const { mounts, noNetwork } = options;
  const bound = new Map<StepMount, Bound>();
  for (const mount of mounts) if (mount.type === "bind") bound.set(mount, await boundFiles(step, mount));
  const { command, script, createdBy } = runCommand(stage.state, instruction);
  const env = new Map((config.Env ?? []).map(splitVariable));
  const declared = [...args].filter(([name]) => !env.has(name)).sort();
  const { network = "open" } = build.options;
  const depends = [
    "RUN",
    script === undefined ? command : ["script", script],
    declared.filter(([name]) => !isProxy(name)),
    network,
    ...(noNetwork ? ["none"] : []),
    ...(mounts.length > 0 ? [mounts, [...bound.values()].map(({ digest }) => digest)] : []),
  ];
  return await stage.layer(depends, createdBy, async (machine) => {
    if (script !== undefined) await putScript(machine, script);
    const executed = script === undefined ? command : [SCRIPT];
    const opened = new Map<StepMount, BoundFiles>();
    for (const [mount, { open }] of bound) opened.set(mount, await open());
    const prepared = await prepareRun(machine, executed, options, opened, config);
    const variables = Object.fromEntries([...build.args.proxies, ...declared, ...env]);
    const ended = await execute(step, machine, prepared, variables);
    await prepared.cleanUp();
    if (ended.exitCode !== 0) throw stepFailed(step, ended);
  });
}

async function putScript({ vm }: BuildMachine, script: string): Promise<void> {
  await vm.files.mkdir(IN_MEMORY, { parents: true, mode: 0o755, user: "0" });
  await vm.files.write(SCRIPT, script, { mode: 0o755, user: "0" });
}
