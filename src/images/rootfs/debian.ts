import { join } from "node:path";
import type { Arch } from "../../config/spec.ts";
import { SmolVMError } from "../../errors.ts";
import type { Deadline } from "../../util/deadline.ts";
import { aptSources, DEBIAN_SUITE, debianArch, requireKeyring } from "../debian/apt.ts";
import { requireTools, runTool } from "../debian/tools.ts";
import type { PackageVersion } from "../store/manifest.ts";
import { tarToSquashfs } from "./squashfs.ts";

/** What the default image holds beyond Debian's minimum. */
export const DEBIAN_PACKAGES: readonly string[] = [
  "bash",
  "coreutils",
  "python3",
  "curl",
  "ca-certificates",
  "git",
  "procps",
  "iproute2",
];

/** Manual pages, translations and documents stay out, now and when the guest installs something; licences stay in. */
export const DPKG_OPTIONS: readonly string[] = [
  "path-exclude=/usr/share/man/*",
  "path-exclude=/usr/share/info/*",
  "path-exclude=/usr/share/locale/*",
  "path-exclude=/usr/share/doc/*",
  "path-include=/usr/share/doc/*/copyright",
];

export interface RootfsOptions {
  readonly arch: Arch;
  readonly mirror: string;
  /** seconds since 1970: the newest time that a file may have */
  readonly sourceDateEpoch: number;
  readonly deadline: Deadline;
  /** told mmdebstrap's own progress lines */
  readonly onLine?: (line: string) => void;
}

/**
 * Builds the root file system of Debian with mmdebstrap into a squashfs file. As root directly, as an ordinary user in a
 * user namespace; the file is the same.
 * @returns the packages in it
 * @throws SmolVMError DEPENDENCY_MISSING, IMAGE_BUILD_FAILED
 */
export async function buildDebianRootfs(
  workDir: string,
  target: string,
  options: RootfsOptions,
): Promise<PackageVersion[]> {
  requireTools(["mmdebstrap", "tar2sqfs", "tar"]);
  await requireKeyring();
  const { deadline } = options;
  const tarball = join(workDir, "rootfs.tar");
  const asRoot = process.getuid?.() === 0;
  try {
    await runTool("mmdebstrap", mmdebstrapArgs(tarball, { ...options, mode: asRoot ? "root" : "unshare" }), {
      deadline,
      env: { SOURCE_DATE_EPOCH: String(options.sourceDateEpoch) },
      ...(options.onLine === undefined ? {} : { onStderr: lines(options.onLine) }),
    });
  } catch (error) {
    throw asRoot ? error : withUserHint(error);
  }
  await tarToSquashfs(tarball, target, deadline);
  const status = await runTool("tar", ["-xOf", tarball, "./var/lib/dpkg/status"], { deadline });
  return parsePackages(status.stdout);
}

/** The arguments of mmdebstrap for the default image. Pure. */
export function mmdebstrapArgs(
  tarball: string,
  { arch, mirror, mode }: Pick<RootfsOptions, "arch" | "mirror"> & { mode: "root" | "unshare" },
): string[] {
  return [
    `--mode=${mode}`,
    "--variant=minbase",
    "--format=tar",
    `--architectures=${debianArch(arch)}`,
    `--include=${DEBIAN_PACKAGES.join(",")}`,
    ...DPKG_OPTIONS.map((option) => `--dpkgopt=${option}`),
    // A guest installs packages without recommendations and without a terminal to ask on.
    '--aptopt=APT::Install-Recommends "false"',
    // mmdebstrap copies these two from the host; the agent writes its own. Debian's installer scripts leave byte code
    // behind that differs each time.
    '--customize-hook=rm -rf "$1/etc/hostname" "$1/etc/resolv.conf" "$1/usr/share/python3/debpython/__pycache__"',
    DEBIAN_SUITE,
    tarball,
    ...aptSources(mirror),
  ];
}

/** Installed packages from dpkg's status file, sorted by name. Pure. */
export function parsePackages(status: string): PackageVersion[] {
  return status
    .split("\n\n")
    .map((stanza) => {
      const name = /^Package: (.+)$/m.exec(stanza)?.[1] ?? "";
      const version = /^Version: (.+)$/m.exec(stanza)?.[1] ?? "";
      return { name, version, source: sourceOf(name, version, /^Source: (.+)$/m.exec(stanza)?.[1]) };
    })
    .filter((entry) => entry.name !== "")
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

/**
 * The source of a binary package (deb-control(5), "Source"): named only where name or version differ. A rebuild for one
 * architecture ("+b2") is of the same source. Pure.
 */
export function sourceOf(
  name: string,
  version: string,
  field: string | undefined,
): { name: string; version: string } {
  const match = /^(\S+)(?: \((.+)\))?$/.exec(field ?? "");
  return { name: match?.[1] ?? name, version: match?.[2] ?? version.replace(/\+b\d+$/, "") };
}

/** Splits a stream of bytes into lines; what has no line end yet waits. */
function lines(onLine: (line: string) => void): (chunk: Uint8Array) => void {
  let rest = "";
  return (chunk) => {
    const parts = (rest + Buffer.from(chunk).toString("utf8")).split(/[\r\n]+/);
    rest = (parts.pop() ?? "").slice(-4096);
    for (const line of parts) if (line !== "") onLine(line);
  };
}

function withUserHint(error: unknown): unknown {
  if (!(error instanceof SmolVMError) || error.code !== "IMAGE_BUILD_FAILED") return error;
  return new SmolVMError(error.code, error.message, {
    hint: "Without root, mmdebstrap needs user namespaces: sudo apt-get install -y uidmap, and a range for you in /etc/subuid and /etc/subgid (sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 $USER)",
    details: error.details,
    cause: error,
  });
}
