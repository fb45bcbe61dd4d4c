import type { Arch } from "../../config/spec.ts";
import type { Build } from "../build.ts";
import { BuildMachine } from "../machine/machine.ts";
import { baseImage } from "./base-image.ts";
import type { Source } from "./source.ts";

/** Images that no stage begins with, and that are only copied from. */
export class OtherImages {
  readonly #build: Build;
  /** by the key of what they hold: one name is another image for each architecture */
  readonly #machines = new Map<string, BuildMachine>();

  constructor(build: Build) {
    this.#build = build;
  }

  /** @throws SmolVMError as pulling */
  async source(text: string, arch: Arch): Promise<Source> {
    const { name, key, machine } = await baseImage(this.#build, text, arch);
    if (machine !== undefined) this.#machines.set(key, machine);
    return {
      key,
      machine: async () => {
        const there = this.#machines.get(key) ?? (await BuildMachine.start(this.#build, name, arch));
        this.#machines.set(key, there);
        return there;
      },
    };
  }
}
