import type { Arch } from "../config/spec.ts";
import { SmolVMError } from "../errors.ts";
import type { Deadline } from "../util/deadline.ts";
import { type Apt, DEBIAN_SUITE } from "./apt.ts";
import type { RootfsFormat } from "./image.ts";
import { buildMinimalRootfs, MINIMAL_COMMANDS, MINIMAL_PACKAGE } from "./minimal.ts";
import { checkImageName } from "./reference.ts";
import { buildDebianRootfs, DEBIAN_PACKAGES, type PackageVersion } from "./rootfs.ts";
import type { Tool } from "./tools.ts";

/** What a recipe is given to build a root file system. */
export interface RecipeContext {
  readonly apt: Apt;
  readonly arch: Arch;
  readonly mirror: string;
  readonly deadline: Deadline;
  readonly workDir: string;
  /** the file to make */
  readonly target: string;
  readonly onLine: (line: string) => void;
}

/** How an image of ours is made. */
export interface Recipe {
  readonly name: string;
  readonly arches: readonly Arch[];
  /** whatever is in here makes another image when it changes */
  readonly key: readonly unknown[];
  readonly message: string;
  readonly rootfsFile: string;
  readonly rootfsFormat: RootfsFormat;
  readonly tools: readonly Tool[];
  buildRootfs(context: RecipeContext): Promise<PackageVersion[]>;
}

/** Raised when the way images are built changes. */
const BUILD_VERSION = 2;

/** The images that smolvm can build. */
export const RECIPES: readonly Recipe[] = [
  {
    name: "debian",
    arches: ["x86_64"],
    key: [BUILD_VERSION, "debian", DEBIAN_SUITE, DEBIAN_PACKAGES],
    message: `installing Debian ${DEBIAN_SUITE} with ${DEBIAN_PACKAGES.join(", ")}`,
    rootfsFile: "rootfs.squashfs",
    rootfsFormat: "squashfs",
    tools: ["apt-get", "apt-cache", "dpkg-deb", "mmdebstrap", "tar2sqfs", "tar", "mke2fs", "qemu-img"],
    buildRootfs: async ({ apt, workDir, target, ...context }) =>
      buildDebianRootfs(workDir, target, { ...context, sourceDateEpoch: await apt.archiveTime() }),
  },
  {
    name: "minimal",
    arches: ["x86_64", "aarch64"],
    key: [BUILD_VERSION, "minimal", DEBIAN_SUITE, MINIMAL_PACKAGE, MINIMAL_COMMANDS],
    message: `unpacking ${MINIMAL_PACKAGE}`,
    rootfsFile: "rootfs.squashfs",
    rootfsFormat: "squashfs",
    tools: ["apt-get", "apt-cache", "dpkg-deb", "tar2sqfs", "mke2fs", "qemu-img"],
    buildRootfs: ({ apt, ...context }) => buildMinimalRootfs(apt, context),
  },
];

/**
 * The recipe of an image.
 * @throws SmolVMError IMAGE_NOT_FOUND, NOT_SUPPORTED, CONFIG_INVALID
 */
export function findRecipe(name: string, arch: Arch): Recipe {
  checkImageName(name);
  const names = RECIPES.map((recipe) => recipe.name).join(", ");
  const recipe = RECIPES.find((candidate) => candidate.name === name);
  if (recipe === undefined) {
    throw new SmolVMError("IMAGE_NOT_FOUND", `smolvm cannot build an image '${name}'`, {
      hint: `It can build: ${names}. For another root file system use rootfsPath.`,
      details: { image: name, arch },
    });
  }
  if (!recipe.arches.includes(arch)) {
    const others = RECIPES.filter((candidate) => candidate.arches.includes(arch)).map(
      (candidate) => candidate.name,
    );
    throw new SmolVMError("NOT_SUPPORTED", `the image '${name}' cannot be built for ${arch} yet`, {
      hint: `For ${arch} there is: smolvm image build ${others[0] ?? name} --arch ${arch}`,
      details: { image: name, arch },
    });
  }
  return recipe;
}
