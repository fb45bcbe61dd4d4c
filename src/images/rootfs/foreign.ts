import { createReadStream } from "node:fs";
import { type FileHandle, open, readFile, stat, truncate } from "node:fs/promises";
import { join } from "node:path";
import type { Arch } from "../../config/spec.ts";
import { SmolVMError } from "../../errors.ts";
import type { Deadline } from "../../util/deadline.ts";
import { type Apt, aptSources, debianArch } from "../debian/apt.ts";
import { runTool } from "../debian/tools.ts";
import { uncompressedDebHead } from "../formats/deb.ts";
import { TAR_END, tarHeader, tarPadding } from "../formats/tar.ts";
import type { PackageVersion } from "../store/manifest.ts";
import { DEBIAN_PACKAGES, DPKG_OPTIONS, parsePackages } from "./debian.ts";
import { finishScript } from "./foreign-script.ts";
import { tarToSquashfs } from "./squashfs.ts";

/** Work for a guest of another architecture: a script with two disks, which the guest finds as extra-0 and extra-1. */
export interface GuestWork {
  readonly arch: Arch;
  /** for `sh -c`, as root, in the minimal image */
  readonly script: string;
  /** read-only */
  readonly inputDisk: string;
  /** written by the script */
  readonly outputDisk: string;
  readonly deadline: Deadline;
  /** told each line that the script prints */
  readonly onLine: (line: string) => void;
}

/** Runs such work in a sandbox and fails if the script does. Images cannot make sandboxes themselves: who calls can. */
export type RunInGuest = (work: GuestWork) => Promise<void>;

export interface ForeignOptions {
  readonly arch: Arch;
  readonly mirror: string;
  readonly workDir: string;
  /** the squashfs file to make */
  readonly target: string;
  readonly deadline: Deadline;
  readonly onLine: (line: string) => void;
  readonly runInGuest: RunInGuest;
}

/** The same packages as mmdebstrap's variant minbase takes. */
const PATTERNS = ["?essential", "?priority(required)", "apt"];
const DISK_ALIGN_BYTES = 2 ** 20;
/** Sparse; the root file system is a quarter of that. */
const OUTPUT_BYTES = 2 ** 30;

/**
 * Builds the root file system of Debian for an architecture that this host cannot run: apt fetches and checks the packages here,
 * a sandbox of that architecture (emulated) unpacks and configures them.
 * @returns the packages in it
 * @throws SmolVMError IMAGE_BUILD_FAILED, DEPENDENCY_MISSING, and those of a boot
 */
export async function buildForeignRootfs(apt: Apt, options: ForeignOptions): Promise<PackageVersion[]> {
  const { arch, workDir, target, deadline, onLine } = options;
  const debs = await apt.downloadAll([...PATTERNS, ...DEBIAN_PACKAGES]);
  const essential = await apt.wouldInstall(["?essential"]);
  const inputDisk = join(workDir, "packages.img");
  onLine(`unpacking the essential of ${debs.length} packages`);
  await writeInput(inputDisk, workDir, debs, essential, options);
  const outputDisk = join(workDir, "rootfs.tar");
  await (await open(outputDisk, "wx", 0o600)).close();
  await truncate(outputDisk, OUTPUT_BYTES);
  let last = "";
  await options.runInGuest({
    arch,
    script: finishScript({ arch, sourceDateEpoch: await apt.archiveTime() }),
    inputDisk,
    outputDisk,
    deadline,
    onLine: (line) => {
      last = line;
      onLine(line);
    },
  });
  const size = Number(last);
  if (!/^\d+$/.test(last) || size > OUTPUT_BYTES)
    throw new SmolVMError(
      "IMAGE_BUILD_FAILED",
      `the guest did not say how large the root file system is: '${last}'`,
    );
  await truncate(outputDisk, size);
  await tarToSquashfs(outputDisk, target, deadline);
  const status = await runTool("tar", ["-xOf", outputDisk, "./var/lib/dpkg/status"], { deadline });
  return parsePackages(status.stdout);
}

/** The input disk of the script: see foreign-script.ts. */
async function writeInput(
  path: string,
  workDir: string,
  debs: readonly string[],
  essential: ReadonlySet<string>,
  { arch, mirror, deadline }: ForeignOptions,
): Promise<void> {
  const disk = await open(path, "wx", 0o600);
  try {
    const automatic: string[] = [];
    let count = 0;
    for (const deb of debs) {
      deadline.check();
      const fields = await control(deb, deadline);
      if (!fields.kept) automatic.push(fields.name);
      const tree = join(workDir, "tree.tar");
      await dataTar(deb, tree, deadline);
      const { size } = await stat(tree);
      const name = `debs/${fields.name}_${fields.version.replace(/^\d+:/, "")}.deb`;
      const end = Buffer.from(size % 2 === 0 ? "" : "\n");
      await append(disk, name, uncompressedDebHead(await readFile(deb), size), tree, end);
      if (essential.has(fields.name))
        await append(disk, `trees/${String(count++).padStart(4, "0")}.tar`, tree);
    }
    for (const [name, text] of Object.entries(configuration(arch, mirror, automatic)))
      await append(disk, `root/${name}`, Buffer.from(text));
    await disk.writeFile(TAR_END);
    // A disk is a whole number of sectors.
    const { size } = await disk.stat();
    await disk.truncate(Math.ceil(size / DISK_ALIGN_BYTES) * DISK_ALIGN_BYTES);
  } finally {
    await disk.close();
  }
}

/** What mmdebstrap leaves in a root file system besides packages. Pure. */
function configuration(arch: Arch, mirror: string, automatic: readonly string[]): Record<string, string> {
  const debian = debianArch(arch);
  return {
    "etc/apt/sources.list": `${aptSources(mirror).join("\n\n")}\n`,
    "etc/apt/apt.conf.d/99mmdebstrap": 'APT::Install-Recommends "false";\n',
    "etc/dpkg/dpkg.cfg.d/99mmdebstrap": `${DPKG_OPTIONS.join("\n")}\n`,
    "var/lib/dpkg/arch": `${debian}\n`,
    "var/lib/apt/extended_states": automatic
      .map((name) => `Package: ${name}\nArchitecture: ${debian}\nAuto-Installed: 1\n\n`)
      .join(""),
  };
}

async function control(
  deb: string,
  deadline: Deadline,
): Promise<{ name: string; version: string; kept: boolean }> {
  const fields = ["Package", "Version", "Essential", "Priority"];
  const { stdout } = await runTool("dpkg-deb", ["-f", deb, ...fields], { deadline });
  const field = (name: string): string => new RegExp(`^${name}: (.*)$`, "m").exec(stdout)?.[1] ?? "";
  const name = field("Package");
  const kept =
    field("Essential") === "yes" ||
    field("Priority") === "required" ||
    name === "apt" ||
    DEBIAN_PACKAGES.includes(name);
  return { name, version: field("Version"), kept };
}

/** A package's files, as a tar with their owners: no matter who we are. */
async function dataTar(deb: string, target: string, deadline: Deadline): Promise<void> {
  const file = await open(target, "w", 0o600);
  try {
    const write = async (chunk: Uint8Array): Promise<void> => file.writeFile(chunk);
    await runTool("dpkg-deb", ["--fsys-tarfile", deb], { deadline, onStdout: write });
  } finally {
    await file.close();
  }
}

/** Adds a file to the tar, from pieces: files, or bytes. */
async function append(disk: FileHandle, path: string, ...pieces: (string | Uint8Array)[]): Promise<void> {
  let size = 0;
  for (const piece of pieces) size += typeof piece === "string" ? (await stat(piece)).size : piece.length;
  await disk.writeFile(tarHeader({ path, mode: 0o644, kind: "file" }, size, 0));
  for (const piece of pieces) {
    if (typeof piece !== "string") await disk.writeFile(piece);
    else for await (const chunk of createReadStream(piece)) await disk.writeFile(chunk as Uint8Array);
  }
  await disk.writeFile(tarPadding(size));
}
