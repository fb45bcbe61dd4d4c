import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Arch } from "../../config/spec.ts";
import { SmolVMError } from "../../errors.ts";
import { packageDir } from "../../host/package.ts";
import { type ConfigRequest, parseFragment } from "./fragment.ts";

/** The kernel source that a recipe names. */
export interface SourcePin {
  /** Debian package, e.g. "linux-source-6.1" */
  readonly package: string;
  /** e.g. "6.1.192-2" */
  readonly version: string;
  /** sha256 (hex) of the .deb file */
  readonly sha256: string;
}

/** One architecture's share of the recipe: what is built and by which programs. */
export interface KernelTarget {
  /** `ARCH=` of the kernel's makefiles */
  readonly kernelArch: string;
  /** what `make` is asked for */
  readonly goal: string;
  /** what is booted, in the built tree */
  readonly output: string;
  /**
   * Prefix of the compiler's programs. The native compiler has it as well on Debian; its name goes into the kernel's
   * configuration, so that a native and a cross build of the same compiler give the same bytes.
   */
  readonly crossPrefix: string;
  /** Debian package of that compiler on a host of another architecture */
  readonly crossPackage: string;
  /** steps that a build prints, about: what progress is measured against */
  readonly steps: number;
}

export const KERNEL_TARGETS: Readonly<Record<Arch, KernelTarget>> = {
  x86_64: {
    kernelArch: "x86_64",
    goal: "vmlinux",
    output: "vmlinux",
    crossPrefix: "x86_64-linux-gnu-",
    crossPackage: "gcc-x86-64-linux-gnu",
    steps: 2_000,
  },
  aarch64: {
    kernelArch: "arm64",
    goal: "Image",
    output: "arch/arm64/boot/Image",
    crossPrefix: "aarch64-linux-gnu-",
    crossPackage: "gcc-aarch64-linux-gnu",
    steps: 1_900,
  },
};

/** A change of ours to Debian's source. */
export interface KernelPatch {
  /** file name; patches are applied in its order */
  readonly name: string;
  /** sha256 (hex) of the file */
  readonly sha256: string;
  readonly path: string;
}

/** Everything that decides what a kernel will be, apart from the compiler. */
export interface KernelRecipe {
  readonly arch: Arch;
  readonly source: SourcePin;
  readonly requests: readonly ConfigRequest[];
  /** the fragments, as given to the kernel's configuration */
  readonly fragment: string;
  readonly patches: readonly KernelPatch[];
  /** sha256 (hex) over all of this */
  readonly key: string;
}

/** Raised when the way kernels are built changes. */
const BUILD_VERSION = 1;

/** Directory of the recipe that comes with the package: kernel/ beside src/ and dist/. */
export function kernelRecipeDir(): string {
  return join(packageDir(), "kernel");
}

/**
 * Reads the recipe for an architecture: source.json, common.config, ARCH.config and the patches.
 * @throws SmolVMError IMAGE_BUILD_FAILED: a file is missing or has lines that make no sense
 */
export async function readRecipe(arch: Arch, dir: string = kernelRecipeDir()): Promise<KernelRecipe> {
  const read = async (name: string): Promise<string> => {
    try {
      return await readFile(join(dir, name), "utf8");
    } catch (error) {
      throw new SmolVMError("IMAGE_BUILD_FAILED", `the kernel recipe has no '${name}'`, {
        hint: `It should be in '${dir}'. Install smolvm again.`,
        cause: error,
      });
    }
  };
  const source = parsePin(await read("source.json"));
  const names = ["common.config", `${arch}.config`];
  const texts = await Promise.all(names.map(read));
  // Together: an option that both fragments ask for is a mistake as well.
  const fragments = names.map((name, index) => parseFragment(name, texts[index]!));
  const requests = fragments.flatMap((fragment) => fragment.requests);
  const mistakes = fragments
    .flatMap((fragment) => fragment.mistakes)
    .map(({ where, text, reason }) => `${where}: '${text}' ${reason}`);
  for (const twice of repeated(requests)) mistakes.push(`${twice.where}: ${twice.option} is asked for twice`);
  if (mistakes.length > 0) {
    throw new SmolVMError(
      "IMAGE_BUILD_FAILED",
      `the kernel's configuration has mistakes:\n  ${mistakes.join("\n  ")}`,
      {
        details: { mistakes },
      },
    );
  }
  const fragment = texts.map((text) => `${text.trimEnd()}\n`).join("");
  const patches = await readPatches(join(dir, "patches"));
  const key = createHash("sha256")
    .update(
      JSON.stringify([
        BUILD_VERSION,
        arch,
        source,
        requests.map(({ option, value }) => [option, value]),
        patches.map(({ sha256 }) => sha256),
      ]),
    )
    .digest("hex");
  return { arch, source, requests, fragment, patches, key };
}

async function readPatches(dir: string): Promise<KernelPatch[]> {
  const names = (await readdir(dir).catch(() => [])).filter((name) => name.endsWith(".patch")).sort();
  return Promise.all(
    names.map(async (name) => {
      const path = join(dir, name);
      return {
        name,
        path,
        sha256: createHash("sha256")
          .update(await readFile(path))
          .digest("hex"),
      };
    }),
  );
}

/** Requests for an option that an earlier one asked for. Pure. */
function repeated(requests: readonly ConfigRequest[]): ConfigRequest[] {
  const seen = new Set<string>();
  return requests.filter(({ option }) => seen.has(option) || !seen.add(option));
}

/**
 * The text of source.json. Pure.
 * @throws SmolVMError IMAGE_BUILD_FAILED
 */
export function parsePin(text: string): SourcePin {
  let pin: Partial<Record<keyof SourcePin, unknown>> = {};
  try {
    pin = JSON.parse(text) as typeof pin;
  } catch {
    // told below
  }
  const fits = (value: unknown, pattern: RegExp): value is string =>
    typeof value === "string" && pattern.test(value);
  const { package: name, version, sha256 } = pin ?? {};
  if (
    !fits(name, /^linux-source-\d+\.\d+$/) ||
    !fits(version, /^[\w.+~:-]+$/) ||
    !fits(sha256, /^[0-9a-f]{64}$/)
  ) {
    throw new SmolVMError("IMAGE_BUILD_FAILED", "the kernel recipe's source.json is damaged", {
      hint: "It names a Debian package (linux-source-X.Y), its version and the sha256 of its .deb file.",
    });
  }
  return { package: name, version, sha256 };
}
