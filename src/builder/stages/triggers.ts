import { type Instruction, parseDockerfile } from "../../images/dockerfile/parse.ts";
import { failAt } from "../plan/errors.ts";
import type { BuildStage } from "./stage.ts";

/**
 * Takes the instructions that an image has for those that are made of it (ONBUILD): they come first in the stage, and are told of with its FROM.
 * @throws SmolVMError DOCKERFILE_INVALID
 */
export function takeTriggers(stage: BuildStage, file: string): Instruction[] {
  const { OnBuild: triggers = [], ...config } = stage.state.config;
  stage.state = { ...stage.state, config };
  const { line } = stage.written;
  return triggers.map((text) => {
    const parsed = parseDockerfile(`FROM scratch\n${text}`, file).instructions[1];
    if (parsed === undefined) throw failAt(file, line)(`the image has an ONBUILD that is none: ${text}`);
    return { ...parsed, line };
  });
}
