import { mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Arch } from "../../config/spec.ts";
import { SmolVMError } from "../../errors.ts";
import type { Deadline } from "../../util/deadline.ts";
import { shown } from "../../util/shown.ts";
import { requireTools, runTool } from "./tools.ts";

/** The Debian release that images are made of. */
export const DEBIAN_SUITE = "bookworm";
/** Debian's signing keys, from the package debian-archive-keyring. */
const DEBIAN_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg";

const DEBIAN_ARCH: Readonly<Record<Arch, string>> = { x86_64: "amd64", aarch64: "arm64" };

/** Debian's name of an architecture. */
export function debianArch(arch: Arch): string {
  return DEBIAN_ARCH[arch];
}

/** What is taken of an archive. */
export interface AptArchive {
  /** default {@link DEBIAN_SUITE} */
  readonly suite?: string | undefined;
  /** source packages as well */
  readonly withSources?: boolean | undefined;
}

/**
 * The lines of sources.list for a mirror: the release, its updates and its security updates. Pure.
 * @param mirror address of the archive, e.g. "http://mirror.example/debian"; security updates come from the same address with "-security"
 */
export function aptSources(
  mirror: string,
  { suite = DEBIAN_SUITE, withSources = false }: AptArchive = {},
): string[] {
  const base = mirror.replace(/\/+$/, "");
  const signed = `[signed-by=${DEBIAN_KEYRING}]`;
  const archives = [
    `${base} ${suite} main`,
    `${base} ${suite}-updates main`,
    `${base}-security ${suite}-security main`,
  ];
  const kinds = withSources ? ["deb", "deb-src"] : ["deb"];
  return kinds.flatMap((kind) => archives.map((archive) => `${kind} ${signed} ${archive}`));
}

/**
 * The configuration of an apt that keeps everything in `dir` and takes nothing from the host's: it works for any user, on
 * any host with apt, for any architecture. It refuses what Debian has not signed. Pure.
 * @throws SmolVMError CONFIG_INVALID for a directory that cannot be named in it: it has no way to write a double quote or a line's end (apt.conf(5))
 */
export function aptConfig(dir: string, arch: Arch): string {
  if (/["\n]/.test(dir)) {
    throw new SmolVMError(
      "CONFIG_INVALID",
      `apt cannot use a directory with a double quote or a line's end in its path: ${shown(dir)}`,
      { hint: "Keep smolvm's files elsewhere: export SMOLVM_HOME=~/.smolvm" },
    );
  }
  const quoted = (path: string): string => `"${path}"`;
  return `${[
    `Dir::State ${quoted(join(dir, "state"))};`,
    `Dir::State::status ${quoted(join(dir, "state", "status"))};`,
    `Dir::Cache ${quoted(join(dir, "cache"))};`,
    `Dir::Etc::sourcelist ${quoted(join(dir, "sources.list"))};`,
    `Dir::Etc::sourceparts "/dev/null";`,
    `Dir::Etc::parts "/dev/null";`,
    `Dir::Etc::main "/dev/null";`,
    `Dir::Etc::preferences "/dev/null";`,
    `Dir::Etc::preferencesparts "/dev/null";`,
    `Dir::Log ${quoted(join(dir, "cache"))};`,
    `APT::Architecture "${debianArch(arch)}";`,
    `APT::Architectures { "${debianArch(arch)}"; };`,
    // apt's own user cannot reach a private directory.
    `APT::Sandbox::User "root";`,
    `APT::Get::AllowUnauthenticated "false";`,
    `Acquire::AllowInsecureRepositories "false";`,
    `Acquire::AllowDowngradeToInsecureRepositories "false";`,
    `Acquire::Languages "none";`,
    `Acquire::Retries "3";`,
  ].join("\n")}\n`;
}

/** As mmdebstrap asks apt: no recommendations, no questions. */
const INSTALL = ["install", "-q", "--yes", "--no-install-recommends"];

/** An apt with state of its own, ready to download. */
export class Apt {
  readonly #dir: string;
  readonly #deadline: Deadline;

  private constructor(dir: string, deadline: Deadline) {
    this.#dir = dir;
    this.#deadline = deadline;
  }

  /**
   * Sets an apt up in `dir` (made) and fetches the package lists.
   * @throws SmolVMError DEPENDENCY_MISSING, IMAGE_BUILD_FAILED (mirror not reachable, signature wrong)
   */
  static async open(
    dir: string,
    { arch, mirror, deadline, ...archive }: { arch: Arch; mirror: string; deadline: Deadline } & AptArchive,
  ): Promise<Apt> {
    requireTools(["apt-get", "apt-cache", "dpkg-deb"]);
    await requireKeyring();
    for (const part of ["state/lists/partial", "cache/archives/partial"]) {
      await mkdir(join(dir, part), { recursive: true });
    }
    await writeFile(join(dir, "state", "status"), "");
    await writeFile(join(dir, "sources.list"), `${aptSources(mirror, archive).join("\n")}\n`);
    await writeFile(join(dir, "apt.conf"), aptConfig(dir, arch));
    const apt = new Apt(dir, deadline);
    // With "any", a list that cannot be had is a failure and not a warning.
    await apt.#run("apt-get", ["update", "-q", "-o", "APT::Update::Error-Mode=any"]);
    return apt;
  }

  /**
   * The date of the newest signed list, in seconds since 1970: it stands for "the state of the archive".
   * @throws SmolVMError IMAGE_BUILD_FAILED
   */
  async archiveTime(): Promise<number> {
    const lists = join(this.#dir, "state", "lists");
    const dates: number[] = [];
    for (const name of await readdir(lists)) {
      if (!name.endsWith("_InRelease")) continue;
      const date = releaseDate(await readFile(join(lists, name), "utf8"));
      if (date !== undefined) dates.push(date);
    }
    if (dates.length === 0) throw new SmolVMError("IMAGE_BUILD_FAILED", "apt fetched no signed package list");
    return Math.max(...dates);
  }

  /** The control fields of the version of a package that apt would install. */
  async show(name: string): Promise<ReadonlyMap<string, string>> {
    const { stdout } = await this.#run("apt-cache", ["show", "--no-all-versions", "--", name]);
    return parseControl(stdout);
  }

  /** Downloads a package (apt checks it against the signed lists) and returns the path of the .deb file. */
  async download(name: string): Promise<string> {
    const into = join(this.#dir, "download", name);
    await mkdir(into, { recursive: true });
    await this.#run("apt-get", ["download", "-q", "--", name], into);
    const deb = (await readdir(into)).find((file) => file.endsWith(".deb"));
    if (deb === undefined) throw new SmolVMError("IMAGE_BUILD_FAILED", `apt downloaded no package '${name}'`);
    return join(into, deb);
  }

  /** Downloads the original tarball of a source package (checked as {@link download}) and returns its path. */
  async downloadTarball(name: string, version?: string): Promise<string> {
    const into = join(this.#dir, "download", `${name}-source`);
    await mkdir(into, { recursive: true });
    const wanted = version === undefined ? name : `${name}=${version}`;
    const options = ["-q", "--download-only", "--tar-only", "--only-source"];
    await this.#run("apt-get", ["source", ...options, "--", wanted], into);
    const tarball = (await readdir(into)).find((file) => /\.orig\.tar\.\w+$/.test(file));
    if (tarball === undefined)
      throw new SmolVMError("IMAGE_BUILD_FAILED", `apt downloaded no source of '${name}'`);
    return join(into, tarball);
  }

  /**
   * Downloads packages and all that they depend on, as for an empty system.
   * @param wanted names and patterns (apt-patterns(7))
   * @returns the paths of the .deb files
   */
  async downloadAll(wanted: readonly string[]): Promise<string[]> {
    await this.#run("apt-get", [...INSTALL, "--download-only", ...wanted]);
    const archives = join(this.#dir, "cache", "archives");
    return (await readdir(archives))
      .filter((name) => name.endsWith(".deb"))
      .sort()
      .map((name) => join(archives, name));
  }

  /** The packages that would be installed for some, with all that they depend on. */
  async wouldInstall(wanted: readonly string[]): Promise<ReadonlySet<string>> {
    const { stdout } = await this.#run("apt-get", [...INSTALL, "--simulate", ...wanted]);
    return new Set([...stdout.matchAll(/^Inst (\S+)/gm)].map((match) => match[1]!));
  }

  /** Unpacks a .deb file's content into a directory (made). Its scripts do not run. */
  async unpack(deb: string, into: string): Promise<void> {
    await mkdir(into, { recursive: true });
    await runTool("dpkg-deb", ["-x", deb, into], { deadline: this.#deadline });
  }

  async #run(
    tool: "apt-get" | "apt-cache",
    args: string[],
    cwd?: string,
  ): Promise<{ readonly stdout: string }> {
    try {
      return await runTool(tool, args, {
        deadline: this.#deadline,
        env: { APT_CONFIG: join(this.#dir, "apt.conf") },
        ...(cwd === undefined ? {} : { cwd }),
      });
    } catch (error) {
      if (!(error instanceof SmolVMError) || error.code !== "IMAGE_BUILD_FAILED") throw error;
      throw new SmolVMError("IMAGE_BUILD_FAILED", error.message, {
        hint: "Check that the Debian mirror is reachable (a proxy goes into http_proxy), then run: smolvm image build",
        details: error.details,
        cause: error,
      });
    }
  }
}

/**
 * The fields of the first stanza of a Debian control file; continuation lines are joined with "\n". Pure.
 * Format: deb-control(5)
 */
export function parseControl(text: string): ReadonlyMap<string, string> {
  const fields = new Map<string, string>();
  let last: string | undefined;
  for (const line of text.split("\n")) {
    if (line.trim() === "") {
      if (fields.size > 0) break;
      continue;
    }
    if (/^\s/.test(line)) {
      if (last !== undefined) fields.set(last, `${fields.get(last)}\n${line.trim()}`);
      continue;
    }
    const colon = line.indexOf(":");
    if (colon < 0) continue;
    last = line.slice(0, colon);
    fields.set(last, line.slice(colon + 1).trim());
  }
  return fields;
}

/** The date of an archive's Release file, in seconds since 1970 ("Date: Sat, 05 Sep 2026 09:51:43 UTC"). Pure. */
export function releaseDate(release: string): number | undefined {
  const text = /^Date: (.+)$/m.exec(release)?.[1];
  const milliseconds = text === undefined ? Number.NaN : Date.parse(text);
  return Number.isNaN(milliseconds) ? undefined : Math.floor(milliseconds / 1000);
}

/** @throws SmolVMError DEPENDENCY_MISSING */
export async function requireKeyring(): Promise<void> {
  try {
    await stat(DEBIAN_KEYRING);
  } catch (error) {
    throw new SmolVMError("DEPENDENCY_MISSING", `Debian's keyring ${DEBIAN_KEYRING} is not there`, {
      hint: "Install it: sudo apt-get install -y debian-archive-keyring",
      cause: error,
    });
  }
}
