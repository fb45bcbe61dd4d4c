import type { Instruction } from "../images/dockerfile/parse.ts";
import { applyToState } from "../images/dockerfile/state.ts";
import { TimeSlice } from "../util/time-slice.ts";
import { type Build, withLine } from "./build.ts";
import { atLine, failAt } from "./plan/errors.ts";
import { stageCalled } from "./plan/stages.ts";
import { beginStage } from "./stages/begin.ts";
import { OtherImages } from "./stages/other-images.ts";
import type { Source } from "./stages/source.ts";
import { BuildStage } from "./stages/stage.ts";
import { takeTriggers } from "./stages/triggers.ts";
import { declareArguments } from "./steps/arg.ts";
import { carryOut } from "./steps/carry-out.ts";
import { Step } from "./steps/step.ts";

/** The stages of a build, each built when it is wanted, with those that it names. */
export class BuiltStages {
  readonly #build: Build;
  readonly #built = new Map<number, BuildStage>();
  readonly #others: OtherImages;
  readonly #slice = new TimeSlice();

  constructor(build: Build) {
    this.#build = build;
    this.#others = new OtherImages(build);
  }

  /** @throws SmolVMError as images.build */
  async get(index: number): Promise<BuildStage> {
    const known = this.#built.get(index);
    if (known !== undefined) return known;
    const { plan, deadline } = this.#build;
    const written = plan.stages[index]!;
    const parent = written.parent === undefined ? undefined : await this.get(written.parent);
    const stage = new BuildStage(this.#build, written, await beginStage(this.#build, written, parent));
    this.#built.set(index, stage);
    const instructions = [...takeTriggers(stage, plan.file), ...written.instructions];
    for (const [at, instruction] of instructions.entries()) {
      await this.#slice.breathe(); // most only change what is known of the stage
      deadline.check();
      await this.#instruction(stage, instruction, `${at + 1}/${instructions.length}`);
    }
    return stage;
  }

  async #instruction(stage: BuildStage, instruction: Instruction, position: string): Promise<void> {
    const { plan, report } = this.#build;
    const { keyword, line, shown } = instruction;
    if (keyword === "ARG") {
      stage.state = declareArguments(this.#build, stage.state, instruction);
      return;
    }
    const next = atLine(plan.file, line, () => applyToState(stage.state, instruction, plan.escaping));
    if (next !== undefined) {
      stage.configure(next, shown);
      return;
    }
    const { name = `stage-${stage.written.index}` } = stage.written;
    const source = (from: string): Promise<Source> => this.#source(stage, from, line);
    await report
      .step({ stage: name, position, line, instruction: shown }, (number) =>
        carryOut(new Step(this.#build, stage, instruction, number, source)),
      )
      .catch((error: unknown) => {
        throw withLine(this.#build, error, instruction);
      });
  }

  /** What `--from` names: a stage before, or an image. */
  async #source({ written, arch }: BuildStage, from: string, line: number): Promise<Source> {
    const { plan } = this.#build;
    const named = stageCalled(plan.stages, from, written.index);
    if (named !== undefined) {
      const stage = await this.get(named.index);
      return { key: stage.content.key, machine: () => stage.machine() };
    }
    if (/^\d+$/.test(from) || from.toLowerCase() === written.name)
      throw failAt(plan.file, line)(`there is no stage '${from}' before this one`);
    return await this.#others.source(from, arch);
  }
}
