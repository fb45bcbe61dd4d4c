import type { Arch } from "../../config/spec.ts";
import { failpoint } from "../../host/failpoint.ts";
import type { ImageParts } from "../../images/boot/compose.ts";
import type { StageState } from "../../images/dockerfile/state.ts";
import { sourceDate } from "../../vm/commit/dates.ts";
import type { Build } from "../build.ts";
import { BuildMachine } from "../machine/machine.ts";
import type { Stage } from "../plan/stages.ts";
import type { StageStart } from "./begin.ts";
import { composeStage } from "./compose.ts";
import { type StageContent, withConfig, withStep } from "./content.ts";
import { keepStep, knownStep, type MadeStep, stepKey } from "./steps-cache.ts";

/** A stage as it is built: what it has come to, and its sandbox, from the first step on that is carried out. */
export class BuildStage {
  readonly #build: Build;
  /** as it stands in the file */
  readonly written: Stage;
  readonly arch: Arch;
  /** how the image is run so far, and what the next instructions see */
  state: StageState;
  #content: StageContent;
  #machine: BuildMachine | undefined;

  constructor(build: Build, written: Stage, { arch, state, content, machine }: StageStart) {
    this.#build = build;
    this.written = written;
    this.arch = arch;
    this.state = state;
    this.#content = content;
    this.#machine = machine;
  }

  get content(): StageContent {
    return this.#content;
  }

  get parts(): ImageParts {
    const { config, author } = this.state;
    const { document, layers, created } = this.#content;
    return {
      document: {
        ...document,
        ...(created === undefined ? {} : { created }),
        ...(author === undefined ? {} : { author }),
        config,
      },
      layers,
    };
  }

  /** An instruction that changes how the image is run, and none of its files. */
  configure(state: StageState, createdBy: string): void {
    this.state = state;
    this.#content = withConfig(this.#content, state.config, createdBy);
  }

  /**
   * A step that changes files: what it makes is known, or it is carried out.
   * @param depends all that what it makes depends on, besides what the stage is
   * @returns whether it was known
   */
  async layer(
    depends: readonly unknown[],
    createdBy: string,
    act: (machine: BuildMachine) => Promise<void>,
  ): Promise<boolean> {
    const { home, options } = this.#build;
    const key = stepKey([this.#content.key, this.arch, ...depends]);
    const known = options.noCache === true ? undefined : await knownStep(home.paths, key);
    if (known !== undefined && this.#machine !== undefined) {
      await this.#machine.stop(); // it has not what the layer holds
      this.#machine = undefined;
    }
    const made = known ?? (await this.#carryOut(act));
    if (known === undefined) await keepStep(home.paths, key, made);
    this.#content = withStep(this.#content, key, made, createdBy);
    return known !== undefined;
  }

  async #carryOut(act: (machine: BuildMachine) => Promise<void>): Promise<MadeStep> {
    const machine = await this.machine();
    await machine.nextTick();
    await act(machine);
    failpoint("step done");
    const layer = await machine.layer();
    const date = sourceDate();
    return { layer, created: new Date(date === undefined ? Date.now() : date * 1000).toISOString() };
  }

  /** Its sandbox, with all that its layers hold. */
  async machine(): Promise<BuildMachine> {
    this.#machine ??= await this.#start();
    return this.#machine;
  }

  async #start(): Promise<BuildMachine> {
    const { image, key } = this.#content;
    if (image !== undefined) return await BuildMachine.start(this.#build, image, this.arch);
    const { name, composed } = await composeStage(this.#build, this.parts, key, this.arch);
    return await BuildMachine.start(this.#build, name, this.arch, composed);
  }
}
