import type { Arch } from "../../config/spec.ts";
import { SmolVMError } from "../../errors.ts";
import { hostArch } from "../../host/hardware/facts.ts";
import type { Deadline } from "../../util/deadline.ts";
import { type Apt, DEBIAN_SUITE } from "../debian/apt.ts";
import type { Tool } from "../debian/tools.ts";
import type { RootfsFormat } from "../formats/rootfs-format.ts";
import type { PackageVersion } from "../store/manifest.ts";
import { checkImageName, type OwnImage } from "../store/reference.ts";
import { buildDebianRootfs, DEBIAN_PACKAGES } from "./debian.ts";
import { buildForeignRootfs, type RunInGuest } from "./foreign.ts";
import { buildMinimalRootfs, MINIMAL_COMMANDS, MINIMAL_PACKAGE } from "./minimal.ts";

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
  /** how to run the scripts of another architecture's packages; absent: not possible */
  readonly runInGuest?: RunInGuest | undefined;
}

/** How an image of ours is made. */
export interface Recipe {
  readonly name: OwnImage;
  /** its packages' scripts run while it is built: for an architecture that is not the host's, in a sandbox of that one */
  readonly runsScripts: boolean;
  /** whatever is in here makes another image when it changes */
  readonly key: readonly unknown[];
  readonly message: string;
  readonly rootfsFile: string;
  readonly rootfsFormat: RootfsFormat;
  readonly tools: readonly Tool[];
  buildRootfs(context: RecipeContext): Promise<PackageVersion[]>;
}

/** Raised when the way images are built changes. */
const BUILD_VERSION = 6;

/** The images that smolvm can build. */
export const RECIPES: readonly Recipe[] = [
  {
    name: "debian",
    runsScripts: true,
    key: [BUILD_VERSION, "debian", DEBIAN_SUITE, DEBIAN_PACKAGES],
    message: `installing Debian ${DEBIAN_SUITE} with ${DEBIAN_PACKAGES.join(", ")}`,
    rootfsFile: "rootfs.squashfs",
    rootfsFormat: "squashfs",
    tools: ["apt-get", "apt-cache", "dpkg-deb", "mmdebstrap", "tar2sqfs", "tar", "mke2fs", "qemu-img"],
    buildRootfs: async ({ apt, workDir, target, runInGuest, ...context }) =>
      context.arch === hostArch()
        ? buildDebianRootfs(workDir, target, { ...context, sourceDateEpoch: await apt.archiveTime() })
        : buildForeignRootfs(apt, {
            ...context,
            workDir,
            target,
            runInGuest: requireGuest(runInGuest, context.arch),
          }),
  },
  {
    name: "minimal",
    runsScripts: false,
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
  const recipe = RECIPES.find((candidate) => candidate.name === name);
  if (recipe === undefined) {
    throw new SmolVMError("IMAGE_NOT_FOUND", `smolvm cannot build an image '${name}'`, {
      hint: `It can build: ${RECIPES.map((known) => known.name).join(", ")}. For another root file system use rootfsPath.`,
      details: { image: name, arch },
    });
  }
  return recipe;
}

function requireGuest(runInGuest: RunInGuest | undefined, arch: Arch): RunInGuest {
  if (runInGuest !== undefined) return runInGuest;
  throw new SmolVMError("NOT_SUPPORTED", `an image for ${arch} cannot be built here by itself`, {
    hint: `Its packages are configured in a sandbox: smolvm image build debian --arch ${arch}`,
  });
}
