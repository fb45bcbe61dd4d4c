import { posix } from "node:path";
import type { Step } from "./step.ts";

/** WORKDIR: a directory that is made if there is none, and where the next instructions begin. */
export async function workdir(step: Step): Promise<boolean> {
  const { stage, instruction } = step;
  const { config } = stage.state;
  const path = posix.resolve("/", config.WorkingDir ?? "/", step.expand(instruction.text));
  stage.state = { ...stage.state, config: { ...config, WorkingDir: path } };
  return await stage.layer(["WORKDIR", path], `WORKDIR ${path}`, async ({ vm }) => {
    await vm.files.mkdir(path, { parents: true, user: "0" });
  });
}
