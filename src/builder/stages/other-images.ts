import type { Arch } from "../../config/spec.ts";
import type { Build } from "../build.ts";
import { BuildMachine } from "../machine/machine.ts";
import { baseImage } from "./base-image.ts";
import type { Source } from "./source.ts";

/** Images that no stage begins with, and that are only copied from. */
export class OtherImages {
  readonly #build: Build;
  readonly #started = new Map<string, BuildMachine>();

  constructor(build: Build) {
    this.#build = build;
  }

  get started(): Iterable<BuildMachine> {
    return this.#started.values();
  }

  /** @throws SmolVMError as pulling */
  async source(text: string, arch: Arch): Promise<Source> {
    const { name, key, machine } = await baseImage(this.#build, text, arch);
    if (machine !== undefined) this.#started.set(name, machine);
    return {
      key,
      machine: async () => {
        const there = this.#started.get(name) ?? (await BuildMachine.start(this.#build, name, arch));
        this.#started.set(name, there);
        return there;
      },
    };
  }
}
