import { createHash } from "node:crypto";
import { copyFile, cp, mkdir, readFile, writeFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { dirname, join } from "node:path";
import type { OnProgress } from "../../config/progress.ts";
import type { Arch } from "../../config/spec.ts";
import { SmolVMError } from "../../errors.ts";
import { failpoint } from "../../host/failpoint.ts";
import { hostArch } from "../../host/hardware/facts.ts";
import { type OwnQemuLayout, ownQemuLayout } from "../../host/own-qemu/layout.ts";
import { runProgram } from "../../host/process/run.ts";
import type { Deadline } from "../../util/deadline.ts";
import { requireTools, runTool } from "../debian/tools.ts";
import { acquireLock } from "../store/build-lock.ts";
import type { ImageDirs } from "../store/layout.ts";
import { describeFiles } from "../store/manifest.ts";
import { addQemu, type BuiltQemu, isWholeQemu, listQemus, useQemu } from "../store/qemu-store.ts";
import { inWorkDir } from "../store/work-dir.ts";
import { checkDevices } from "./devices.ts";
import { type TakenInput, takeInputs } from "./inputs.ts";
import { requireQemuPrograms } from "./programs.ts";
import { OWN_FILES, type QemuRecipe, readQemuRecipe } from "./recipe.ts";
import { sourceOffer } from "./source-offer.ts";

export interface BuildQemuOptions {
  readonly arch: Arch;
  readonly deadline: Deadline;
  /** stages: wait, source, configure, compile (with a fraction), store */
  readonly onProgress?: OnProgress | undefined;
  /** build even if a QEMU of this recipe is there */
  readonly force?: boolean | undefined;
  /** build what Debian has now instead of the pinned versions (security updates) */
  readonly newest?: boolean | undefined;
  /** address of a Debian archive; default the one that this host's apt uses */
  readonly mirror?: string | undefined;
  /** false: what is in use stays in use; default true */
  readonly use?: boolean | undefined;
  /** directory with the recipe; default: the one that comes with smolvm */
  readonly recipeDir?: string | undefined;
}

/** A QEMU that was built, or was there already. */
export interface BuildQemuResult {
  readonly qemu: BuiltQemu;
  /** false: one of the same recipe was there and nothing was compiled */
  readonly built: boolean;
}

/** A build is a guest on this machine: whatever else runs comes first. */
const NICENESS = "15";

/**
 * Builds our QEMU and makes it the one that sandboxes are started with, unless told otherwise. Takes minutes, 60 MB of download and 1.5 GiB of disk while it
 * runs. One build at a time; what an interrupted one left behind is removed first. The same recipe, compiler and libraries give the same bytes.
 * @throws SmolVMError NOT_SUPPORTED, DEPENDENCY_MISSING, IMAGE_BUILD_FAILED, NO_SPACE, TIMEOUT, ABORTED
 */
export async function buildQemu(dirs: ImageDirs, options: BuildQemuOptions): Promise<BuildQemuResult> {
  const { arch, deadline } = options;
  const recipe = await readQemuRecipe(arch, options.recipeDir);
  const taken = async (qemu: BuiltQemu): Promise<BuiltQemu> =>
    options.use === false ? qemu : await useQemu(dirs, qemu.name);
  const existing = async (): Promise<BuildQemuResult | undefined> => {
    if (options.force || options.newest) return undefined;
    for (const qemu of await listQemus(dirs))
      if (qemu.manifest.recipe === recipe.key && (await isWholeQemu(dirs, qemu)))
        return { qemu: await taken(qemu), built: false };
    return undefined;
  };

  const before = await existing();
  if (before !== undefined) return before;
  const host = hostArch();
  if (process.platform !== "linux" || host !== arch) {
    throw new SmolVMError("NOT_SUPPORTED", `QEMU for ${arch} guests is built on ${arch} Linux hosts only`, {
      hint: "Here, sandboxes run on the installed QEMU.",
    });
  }
  requireTools(["apt-get", "apt-cache", "dpkg-deb", "tar"]);
  requireQemuPrograms();

  const layout = ownQemuLayout(dirs);
  const release = await acquireLock(layout.buildLock, deadline, (holder) => {
    options.onProgress?.({ stage: "wait", message: `another process builds QEMU (pid ${holder.pid})` });
  });
  try {
    const now = await existing();
    if (now !== undefined) return now;
    return await inWorkDir(layout.work, async (workDir) => {
      try {
        const qemu = await new QemuBuild(dirs, layout, recipe, workDir, options).run();
        return { qemu: await taken(qemu), built: true };
      } catch (error) {
        throw explain(error, workDir);
      }
    });
  } finally {
    await release();
  }
}

/** One build, in a directory of its own. */
class QemuBuild {
  readonly #dirs: ImageDirs;
  readonly #layout: OwnQemuLayout;
  readonly #recipe: QemuRecipe;
  readonly #work: string;
  readonly #options: BuildQemuOptions;

  constructor(
    dirs: ImageDirs,
    layout: OwnQemuLayout,
    recipe: QemuRecipe,
    work: string,
    options: BuildQemuOptions,
  ) {
    this.#dirs = dirs;
    this.#layout = layout;
    this.#recipe = recipe;
    this.#work = work;
    this.#options = options;
  }

  async run(): Promise<BuiltQemu> {
    const { deadline, newest, mirror } = this.#options;
    const inputs = await takeInputs(this.#layout, this.#recipe, {
      hostArch: this.#recipe.arch,
      deadline,
      workDir: this.#work,
      mirror,
      newest,
      onMessage: (message) => this.#tell("source", message),
    });
    this.#tell("source", "unpacking");
    await this.#unpack(inputs);
    await this.#patch();
    this.#tell("configure", "building libslirp");
    await this.#buildSlirp();
    this.#tell("configure", "configuring QEMU");
    await this.#configure();
    this.#tell("compile", "compiling QEMU", 0);
    await this.#compile();
    this.#tell("store", "looking at its devices");
    return await this.#store(inputs);
  }

  #tell(stage: string, message: string, fraction?: number): void {
    failpoint(`qemu ${stage}`);
    this.#options.onProgress?.({ stage, message, ...(fraction === undefined ? {} : { fraction }) });
  }

  #path(...parts: string[]): string {
    return join(this.#work, ...parts);
  }

  /** Runs a step of the build in a directory of the work directory. */
  async #step(
    directory: string,
    argv: readonly string[],
    onStdout?: (chunk: Uint8Array) => void,
  ): Promise<string> {
    const { stdout } = await runProgram(["nice", "-n", NICENESS, ...argv], {
      deadline: this.#options.deadline,
      cwd: this.#path(directory),
      env: this.#environment(),
      errorCode: "IMAGE_BUILD_FAILED",
      ...(onStdout && { onStdout }),
    });
    return stdout;
  }

  /** The whole environment of a build: nothing of the user's may change what comes out. */
  #environment(): Record<string, string | undefined> {
    return {
      PATH: [this.#path("tools/usr/bin"), "/usr/bin", "/bin", "/usr/sbin", "/sbin"].join(":"),
      PYTHONPATH: this.#path("tools/usr/lib/python3/dist-packages"),
      PKG_CONFIG_PATH: this.#path("slirp/lib/pkgconfig"),
      HOME: this.#work,
      TMPDIR: process.env.TMPDIR,
      LC_ALL: "C.UTF-8",
      TZ: "UTC",
      SOURCE_DATE_EPOCH: "0",
      PYTHONDONTWRITEBYTECODE: "1",
    };
  }

  async #unpack(inputs: readonly TakenInput[]): Promise<void> {
    const { deadline } = this.#options;
    for (const { kind, package: name, path } of inputs) {
      const into = this.#path(kind === "source" ? name : name === "qemu-system-data" ? "data" : "tools");
      await mkdir(into, { recursive: true });
      if (kind === "package") await runTool("dpkg-deb", ["-x", path, into], { deadline });
      else
        await runTool("tar", ["-xf", path, "-C", into, "--strip-components=1", "--no-same-owner"], {
          deadline,
        });
    }
  }

  /** Our own files, and the lines that call them. A patch that does not fit exactly fails the build. */
  async #patch(): Promise<void> {
    const { dir, arch, patches, devices } = this.#recipe;
    for (const [name, place] of Object.entries(OWN_FILES))
      await copyFile(join(dir, name), this.#path("qemu", place));
    await writeFile(this.#path("qemu/configs/devices", `${arch}-softmmu`, "smolvm.mak"), devices);
    for (const name of patches)
      await this.#step("qemu", ["patch", "-p1", "--forward", "--fuzz=0", "-i", join(dir, "patches", name)]);
  }

  /** Debian has it as a shared library only. */
  async #buildSlirp(): Promise<void> {
    const meson = ["python3", this.#path("tools/usr/bin/meson")];
    const options = ["--prefix", this.#path("slirp"), "--libdir", "lib", "--buildtype", "release"];
    await this.#step(".", [
      ...[...meson, "setup", "slirp-build", "libslirp", ...options, "-Ddefault_library=static"],
      `-Dc_args=-ffile-prefix-map=${this.#work}=.`,
    ]);
    await this.#step(".", ["ninja", "-C", "slirp-build", "install"]);
  }

  async #configure(): Promise<void> {
    await mkdir(this.#path("build"));
    await this.#step("build", [
      ...["../qemu/configure", "--python=/usr/bin/python3", ...this.#recipe.options],
      // No path of this machine, and the name that a file of translated code is known by.
      `--extra-cflags=-ffile-prefix-map=${this.#work}=.`,
      "--extra-ldflags=-Wl,--build-id=sha1",
    ]);
  }

  async #compile(): Promise<void> {
    let rest = "";
    await this.#step("build", ["ninja", `-j${availableParallelism()}`, this.#program()], (chunk) => {
      const text = rest + new TextDecoder().decode(chunk);
      const steps = [...text.matchAll(/\[(\d+)\/(\d+)\]/g)].at(-1);
      rest = text.slice(-20);
      if (steps === undefined) return;
      const [, done, all] = steps;
      this.#tell(
        "compile",
        `compiling QEMU (${done} of ${all} steps)`,
        Math.min(0.99, Number(done) / Number(all)),
      );
    });
  }

  #program(): string {
    return `qemu-system-${this.#recipe.arch}`;
  }

  async #store(inputs: readonly TakenInput[]): Promise<BuiltQemu> {
    const { arch, key, expected, suite, dir } = this.#recipe;
    const program = this.#program();
    const qboot = this.#path("data/usr/share/qemu/qboot.rom");
    const files: Record<string, string> = {
      "share/qemu/qboot.rom": qboot,
      // The firmware that QEMU looks for where the guest finds its devices by ACPI is SeaBIOS, which starts no kernel without option ROMs;
      // this one does, and hands the tables on.
      "share/qemu/bios-microvm.bin": qboot,
      "COPYRIGHT.qboot": this.#path("data/usr/share/doc/qemu-system-data/copyright"),
      COPYING: this.#path("qemu/COPYING"),
      "COPYING.LIB": this.#path("qemu/COPYING.LIB"),
      LICENSE: this.#path("qemu/LICENSE"),
      "COPYRIGHT.libslirp": this.#path("libslirp/COPYRIGHT"),
    };
    const result = this.#path("result");
    await mkdir(join(result, "bin"), { recursive: true });
    await this.#step("build", ["strip", "-o", join(result, "bin", program), program]);
    for (const [place, from] of Object.entries(files)) {
      await mkdir(dirname(join(result, place)), { recursive: true });
      await copyFile(from, join(result, place));
    }
    await cp(dir, join(result, "recipe"), { recursive: true });
    const path = join(result, "bin", program);
    const run = (args: readonly string[]): Promise<string> => this.#step("build", [path, ...args]);
    checkDevices(expected, await run(["-M", "microvm", "-device", "help"]), await run(["-M", "help"]));
    const qemuVersion = (await readFile(this.#path("qemu/VERSION"), "utf8")).trim();
    const compiler = (await this.#step("build", ["gcc", "--version"])).split("\n")[0] ?? "";
    const about = {
      version: 1,
      arch,
      qemuVersion,
      recipe: key,
      license: "GPL-2.0-only",
      suite,
      inputs: inputs.map(({ path: _, ...input }) => input),
      compiler,
      createdAt: new Date().toISOString(),
    } as const;
    await writeFile(join(result, "SOURCE.md"), sourceOffer(about));
    const described = await describeFiles(result, [`bin/${program}`, ...Object.keys(files), "SOURCE.md"]);
    this.#options.deadline.check();
    // All of them: the same program with other firmware is another.
    const content = createHash("sha256").update(JSON.stringify(described)).digest("hex");
    const name = `${qemuVersion}-${arch}-${content.slice(0, 12)}`;
    return addQemu(this.#dirs, result, name, { ...about, files: described });
  }
}

function explain(error: unknown, workDir: string): unknown {
  const text =
    error instanceof Error ? `${error.message} ${(error as NodeJS.ErrnoException).code ?? ""}` : "";
  if (!/ENOSPC|EDQUOT|No space left on device|Disk quota exceeded/i.test(text)) return error;
  return new SmolVMError("NO_SPACE", "no space left to build QEMU: about 1.5 GiB are needed", {
    hint: `Free some space (df -h '${workDir}'), then run the build again.`,
    cause: error,
  });
}
