import type { Instruction } from "../../images/dockerfile/parse.ts";
import { lookupIn } from "../../images/dockerfile/state.ts";
import { expandText, type Lookup } from "../../images/dockerfile/words.ts";
import type { Build } from "../build.ts";
import { atLine, type Fail, failAt } from "../plan/errors.ts";
import type { Source } from "../stages/source.ts";
import type { BuildStage } from "../stages/stage.ts";

/** An instruction that changes files, as it is carried out in its stage. What it complains of is told with its line. */
export class Step {
  readonly build: Build;
  readonly stage: BuildStage;
  readonly instruction: Instruction;
  /** from 1, in the order of the build */
  readonly number: number;
  /** what its `--from` names */
  readonly source: (from: string) => Promise<Source>;
  readonly fail: Fail;

  constructor(
    build: Build,
    stage: BuildStage,
    instruction: Instruction,
    number: number,
    source: (from: string) => Promise<Source>,
  ) {
    this.build = build;
    this.stage = stage;
    this.instruction = instruction;
    this.number = number;
    this.source = source;
    this.fail = failAt(build.plan.file, instruction.line);
  }

  readonly warn = (what: string): void => {
    const { report, plan } = this.build;
    report.warnings.push(`${plan.file}:${this.instruction.line}: ${what}`);
  };

  /** The variables that it sees. */
  get lookup(): Lookup {
    return lookupIn(this.stage.state);
  }

  /** What a text of it is with its variables. @throws SmolVMError DOCKERFILE_INVALID */
  expand(text: string): string {
    return this.read(() => expandText(text, this.build.plan.escaping, this.lookup));
  }

  /** Reads words of it. @throws SmolVMError DOCKERFILE_INVALID for a WordError */
  read<T>(act: () => T): T {
    return atLine(this.build.plan.file, this.instruction.line, act);
  }
}
