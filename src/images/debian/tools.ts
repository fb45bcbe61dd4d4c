import { SmolVMError } from "../../errors.ts";
import { findProgram, SYSTEM_DIRECTORIES } from "../../host/process/find-program.ts";
import { type ProgramResult, type RunProgramOptions, runProgram } from "../../host/process/run.ts";

/** Where the programs that build images come from, by Debian package. */
const PACKAGE_OF = {
  "apt-get": "apt",
  "apt-cache": "apt",
  "dpkg-deb": "dpkg",
  mmdebstrap: "mmdebstrap",
  tar2sqfs: "squashfs-tools-ng",
  mke2fs: "e2fsprogs",
  "qemu-img": "qemu-utils",
  tar: "tar",
} as const;

/** A program that building images uses. */
export type Tool = keyof typeof PACKAGE_OF;

/**
 * Checks that all of these programs are installed, and names all that are not, at once.
 * @throws SmolVMError DEPENDENCY_MISSING
 */
export function requireTools(tools: readonly Tool[], platform: NodeJS.Platform = process.platform): void {
  const missing = tools.filter((tool) => locate(tool) === undefined);
  if (missing.length === 0) return;
  const packages = [...new Set(missing.map((tool) => PACKAGE_OF[tool]))];
  throw new SmolVMError(
    "DEPENDENCY_MISSING",
    `building an image needs ${missing.join(", ")}, not found here`,
    {
      hint:
        platform === "linux"
          ? `On Debian or Ubuntu: sudo apt-get install -y ${packages.join(" ")}`
          : "Images are built on Linux. Here, install a guest bundle beside smolvm (npm install smolvm-guest-x64), or take one in that `smolvm image export` wrote elsewhere: smolvm image import FILE",
      details: { missing },
    },
  );
}

/** Runs one of the tools in a plain locale; `env` is added to this process's environment. */
export function runTool(
  tool: Tool,
  args: readonly string[],
  options: Omit<RunProgramOptions, "errorCode" | "check">,
): Promise<ProgramResult> {
  const path = locate(tool);
  if (path === undefined) requireTools([tool]);
  return runProgram([path ?? tool, ...args], {
    ...options,
    env: { ...process.env, ...searchPath(), LC_ALL: "C.UTF-8", ...options.env },
    errorCode: "IMAGE_BUILD_FAILED",
  });
}

function locate(tool: Tool): string | undefined {
  return findProgram(tool, process.env.PATH, SYSTEM_DIRECTORIES);
}

/** The tools run others (mmdebstrap runs chroot, dpkg-deb runs tar). */
function searchPath(): { PATH: string } {
  return { PATH: [process.env.PATH, ...SYSTEM_DIRECTORIES].filter(Boolean).join(":") };
}
