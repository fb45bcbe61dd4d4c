import { readFile } from "node:fs/promises";
import { basename, join, posix, resolve } from "node:path";
import type { OnProgress } from "../config/progress.ts";
import type { Arch } from "../config/spec.ts";
import { isSmolVMError, SmolVMError } from "../errors.ts";
import { failpoint } from "../host/failpoint.ts";
import { hostArch } from "../host/hardware/facts.ts";
import { type ComposedImage, composeImage, type ImageParts, partsOf } from "../images/boot/compose.ts";
import { findImage } from "../images/boot/find.ts";
import { dockerfileError, type Instruction, parseDockerfile } from "../images/dockerfile/parse.ts";
import {
  applyToState,
  commandOf,
  jsonWords,
  lookupIn,
  type StageState,
  splitVariable,
} from "../images/dockerfile/state.ts";
import { expandText, expandVariables, splitWords } from "../images/dockerfile/words.ts";
import { type ConfigDocument, emptyDocument, type HistoryEntry } from "../images/layer/config-document.ts";
import type { MadeLayer } from "../images/layer/layer-file.ts";
import { GO_ARCH } from "../images/oci/platform.ts";
import { removeReplaced } from "../images/store/prune.ts";
import { imageNotFound, stageImageName } from "../images/store/reference.ts";
import { readImage } from "../images/store/store.ts";
import { checkTag, tagImage } from "../images/store/tag.ts";
import { imagesInUse, usersOfImage } from "../users-of-images.ts";
import type { Deadline } from "../util/deadline.ts";
import { TimeSlice } from "../util/time-slice.ts";
import { sourceDate } from "../vm/commit/dates.ts";
import { ownLayer } from "../vm/commit/own-layer.ts";
import type { Home } from "../vm/home.ts";
import { addedFiles, notThere, textFile, WITHOUT_GIT } from "./context/added-files.ts";
import { BuildContext } from "./context/context.ts";
import { copyFromMachine, matching } from "./machine/copy-across.ts";
import { BuildMachine } from "./machine/machine.ts";
import { destination, makeAbove, modeOf, ownerOf, putTar } from "./machine/put.ts";
import type { Chmod } from "./plan/chmod.ts";
import { parseMount, type StepMount } from "./plan/mounts.ts";
import { archOfPlatform, PLATFORMS_HINT } from "./plan/platforms.ts";
import { checkFlags, checkPlan, namedSources, SWITCHES } from "./plan/precheck.ts";
import { type CopyFilter, hasPattern } from "./plan/selection.ts";
import { atLine, declared, inImage, type Plan, planStages, type Stage, stageCalled } from "./plan/stages.ts";
import { keepStageImagesWithin, touchStageImage } from "./stages/stage-images.ts";
import { keepStep, knownStep, stepKey } from "./stages/steps-cache.ts";
import { type BoundFiles, keepCaches, prepareStep, putScript, SCRIPT } from "./steps/run-mounts.ts";
import type { BuildEvent, BuildOptions, BuiltImage } from "./types.ts";

const DEFAULT_MEM_MIB = 1024;
/** Of a failed step's output, kept for the error. */
const OUTPUT_TAIL_BYTES = 4096;
/** What every step may be given without being declared, and what no key depends on. */
const PROXIES = ["HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY"].flatMap((name) => [
  name,
  name.toLowerCase(),
]);

/**
 * Builds an image; see {@link Images.build}.
 * @throws as that
 */
export async function buildDockerfile(
  home: Home,
  directory: string,
  options: BuildOptions,
  deadline: Deadline,
): Promise<BuiltImage> {
  const root = resolve(directory);
  const file = options.dockerfile === undefined ? join(root, "Dockerfile") : resolve(options.dockerfile);
  const text = options.dockerfileText ?? (await textOf(file));
  const tags = (options.tags ?? []).map(checkTag);
  const build = new Build(home, await BuildContext.open(root, file), file, text, options, deadline);
  try {
    return await build.run(tags);
  } finally {
    await build.close();
  }
}

async function textOf(file: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (cause) {
    const isDirectory = (cause as NodeJS.ErrnoException).code === "EISDIR";
    throw new SmolVMError(
      isDirectory ? "FILE_TYPE" : "FILE_NOT_FOUND",
      isDirectory ? `the Dockerfile '${file}' is a directory` : `there is no Dockerfile '${file}'`,
      { hint: "Say where it is: smolvm image build -f FILE DIRECTORY", cause },
    );
  }
}

/** The architecture that a platform stands for. @throws SmolVMError CONFIG_INVALID */
function archOf(platform: string): Arch {
  const arch = archOfPlatform(platform);
  if (arch !== undefined) return arch;
  throw new SmolVMError("CONFIG_INVALID", `there is no platform '${platform}'`, {
    hint: PLATFORMS_HINT,
    details: { option: "platform" },
  });
}

/** What a stage has come to. */
interface Built {
  readonly stage: Stage;
  readonly arch: Arch;
  state: StageState;
  document: ConfigDocument;
  layers: MadeLayer[];
  /** what all so far depends on and has made */
  key: string;
  created: string | undefined;
  /** the image of the store that has exactly this */
  image: string | undefined;
  machine: BuildMachine | undefined;
}

/** The first of many. */
function shownList(names: readonly string[]): string {
  const more = names.length - 3;
  return more > 0 ? `${names.slice(0, 3).join(", ")} and ${more} more` : names.join(", ");
}

class Build {
  readonly #home: Home;
  readonly #context: BuildContext;
  readonly #file: string;
  readonly #name: string;
  readonly #options: BuildOptions;
  readonly #deadline: Deadline;
  readonly #escape: string;
  readonly #plan: Plan;
  readonly #arch: Arch;
  readonly #given: ReadonlyMap<string, string>;
  readonly #platform: ReadonlyMap<string, string>;
  readonly #used = new Set<string>();
  readonly #built = new Map<number, Built>();
  /** sandboxes of images that are only copied from */
  readonly #others = new Map<string, BuildMachine>();
  readonly #warnings: string[] = [];
  readonly #slice = new TimeSlice();
  #steps = 0;
  #cached = 0;

  constructor(
    home: Home,
    context: BuildContext,
    file: string,
    text: string,
    options: BuildOptions,
    deadline: Deadline,
  ) {
    this.#home = home;
    this.#context = context;
    this.#file = file;
    this.#name = basename(file);
    this.#options = options;
    this.#deadline = deadline;
    const host = hostArch() ?? "x86_64";
    this.#arch = options.platform === undefined ? host : archOf(options.platform);
    this.#given = new Map(Object.entries(options.buildArgs ?? {}));
    const target = `linux/${GO_ARCH[this.#arch]}`;
    const own = `linux/${GO_ARCH[host]}`;
    this.#platform = new Map([
      ["TARGETPLATFORM", target],
      ["TARGETOS", "linux"],
      ["TARGETARCH", GO_ARCH[this.#arch]],
      ["TARGETVARIANT", ""],
      ["BUILDPLATFORM", own],
      ["BUILDOS", "linux"],
      ["BUILDARCH", GO_ARCH[host]],
      ["BUILDVARIANT", ""],
    ]);
    const parsed = parseDockerfile(text, this.#name);
    this.#escape = parsed.escaping;
    this.#plan = planStages(parsed, this.#name, {
      given: this.#given,
      platform: this.#platform,
      target: options.target,
    });
    checkPlan(this.#plan, this.#name, this.#escape);
  }

  async run(tags: readonly string[]): Promise<BuiltImage> {
    for (const { line, source } of namedSources(this.#plan, this.#name, this.#escape))
      if ((await this.#context.select(source)) === undefined)
        throw notThere(this.#context, source, (what, hint) => this.#fail(line, what, hint));
    const built = await this.#stage(this.#plan.target);
    const unused = [...this.#given.keys()].filter((name) => !this.#used.has(name) && !PROXIES.includes(name));
    if (unused.length > 0) this.#warnings.push(`no ARG declares ${unused.join(", ")}`);
    const parts = this.#parts(built);
    const { labels } = this.#options;
    if (labels !== undefined)
      parts.document.config = {
        ...parts.document.config,
        Labels: { ...parts.document.config.Labels, ...labels },
      };
    const name = tags[0] ?? `built-${built.key.slice(0, 12)}`;
    failpoint("before built");
    const replaced = await this.#named([name, ...tags.slice(1)], built.arch);
    const { image } = await this.#compose(parts, name, built.arch);
    for (const tag of tags.slice(1)) await tagImage(this.#home.paths, name, tag, built.arch);
    for (const digest of replaced) if (digest !== image.digest) await this.#removeReplaced(digest);
    return {
      name,
      names: tags.length === 0 ? [name] : tags,
      digest: image.origin!.manifest,
      arch: image.arch,
      sizeBytes: image.sizeBytes,
      steps: { carriedOut: this.#steps - this.#cached, cached: this.#cached },
      warnings: this.#warnings,
    };
  }

  /** Nothing is left of it but what was built, and what the next build knows. */
  async close(): Promise<void> {
    for (const { machine, arch } of this.#built.values())
      if (machine !== undefined) await keepCaches(this.#home, machine, arch, this.#deadline).catch(() => {}); // a cache may be lost
    const machines = [...[...this.#built.values()].map(({ machine }) => machine), ...this.#others.values()];
    for (const machine of machines) await machine?.stop().catch(() => {}); // what is left, the next command clears up
    await keepStageImagesWithin(this.#home.paths, usersOfImage).catch(() => {}); // the next build does it
  }

  /** The images that these names stand for now. */
  async #named(names: readonly string[], arch: Arch): Promise<Set<string>> {
    const { cacheDir } = this.#home.paths;
    const found = await Promise.all(
      names.map((name) => readImage({ cacheDir }, name, arch).catch(() => undefined)), // a damaged one is replaced, too
    );
    return new Set(found.flatMap((stored) => stored?.image.digest ?? []));
  }

  /** What was built before under that name goes, unless something uses it: each build would leave an image. */
  async #removeReplaced(digest: string): Promise<void> {
    await removeReplaced(this.#home.paths, digest, imagesInUse, this.#deadline).catch(() => {}); // prune finds it
  }

  #fail(line: number, what: string, hint?: string): SmolVMError {
    return dockerfileError(this.#name, line, what, hint);
  }

  #progress: OnProgress = (progress) => this.#options.onProgress?.(progress);

  #event(event: BuildEvent): void {
    this.#options.onEvent?.(event);
  }

  #compose(parts: ImageParts, name: string, arch: Arch): Promise<ComposedImage> {
    return composeImage(this.#home.paths, parts, {
      arch,
      name,
      made: "build",
      deadline: this.#deadline,
      onProgress: this.#progress,
    });
  }

  #parts({ state, document, layers, created }: Built): ImageParts {
    return {
      document: {
        ...document,
        ...(created === undefined ? {} : { created }),
        ...(state.author === undefined ? {} : { author: state.author }),
        config: state.config,
      },
      layers,
    };
  }

  async #stage(index: number): Promise<Built> {
    const known = this.#built.get(index);
    if (known !== undefined) return known;
    const stage = this.#plan.stages[index]!;
    const built = await this.#begin(stage);
    this.#built.set(index, built);
    const triggers = built.state.config.OnBuild ?? [];
    const { OnBuild: _, ...config } = built.state.config;
    built.state = { ...built.state, config };
    const inherited = triggers.map((text): Instruction => {
      const parsed = parseDockerfile(`FROM scratch\n${text}`, this.#name).instructions[1];
      if (parsed === undefined)
        throw this.#fail(stage.line, `the image has an ONBUILD that is none: ${text}`);
      return { ...parsed, line: stage.line };
    });
    const instructions = [...inherited, ...stage.instructions];
    for (const [at, instruction] of instructions.entries()) {
      await this.#slice.breathe(); // most only change what is known of the stage
      this.#deadline.check();
      await this.#instruction(built, instruction, `${at + 1}/${instructions.length}`);
    }
    return built;
  }

  /** What a stage begins with. */
  async #begin(stage: Stage): Promise<Built> {
    const args = new Map<string, string>();
    const arch = stage.platform === undefined ? this.#arch : archOf(stage.platform);
    const fresh = { stage, arch, machine: undefined };
    if (stage.parent !== undefined) {
      const parent = await this.#stage(stage.parent);
      if (stage.platform !== undefined && parent.arch !== arch)
        throw this.#fail(stage.line, `the stage '${stage.from}' is for another platform`);
      const state: StageState = { ...parent.state, args, hasCmd: false };
      const { document, layers, key, created, image } = parent;
      return { ...fresh, arch: parent.arch, state, document, layers: [...layers], key, created, image };
    }
    if (stage.from === "scratch") {
      const document = emptyDocument(arch);
      const state: StageState = { config: document.config, author: undefined, args, hasCmd: false };
      const key = stepKey(["scratch", arch]);
      return { ...fresh, state, document, layers: [], key, created: undefined, image: undefined };
    }
    const base = await this.#base(stage.from, arch).catch((error: unknown) => {
      throw this.#withLine(error, { line: stage.line, shown: `FROM ${stage.from}` });
    });
    const { name, parts, key, machine, isOwn } = base;
    // Images are made over what their lower layers have become (images/lower-image.ts): of one of ours there is none yet.
    if (isOwn) await this.#stageImage(parts, key, arch);
    const { document, layers } = parts;
    const state: StageState = { config: document.config, author: document.author, args, hasCmd: false };
    const { created } = document;
    return { ...fresh, machine, state, document, layers: [...layers], key, created, image: name };
  }

  /** An image that is there before the build. */
  async #base(
    text: string,
    arch: Arch,
  ): Promise<{
    name: string;
    parts: ImageParts;
    key: string;
    machine: BuildMachine | undefined;
    isOwn: boolean;
  }> {
    const { paths } = this.#home;
    const { pull = "missing" } = this.#options;
    await findImage(paths, text, arch, { pull, deadline: this.#deadline, onProgress: this.#progress });
    const found = await readImage(paths, text, arch);
    if (found === undefined) throw imageNotFound(text, arch);
    const { image } = found;
    let machine: BuildMachine | undefined;
    const parts = await partsOf(paths, found, () =>
      ownLayer(this.#home, image, { deadline: this.#deadline, onProgress: this.#progress }, async (make) => {
        machine = await this.#boot(image.name, arch);
        return machine.overControl(make, this.#deadline);
      }),
    );
    const digest = image.origin?.manifest ?? image.digest;
    const isOwn = image.origin === undefined;
    return { name: image.name, parts, key: stepKey(["image", digest, arch]), machine, isOwn };
  }

  /** @param isNew nothing has booted from that image, and perhaps nothing will again: no template is made of it */
  #boot(image: string, arch: Arch, isNew = false): Promise<BuildMachine> {
    const { network = "open", memSizeMib = DEFAULT_MEM_MIB, vcpuCount, diskSizeMib } = this.#options;
    const onProgress = this.#progress;
    const template = isNew ? ("off" as const) : undefined;
    const options = { arch, network, memSizeMib, vcpuCount, diskSizeMib, template, onProgress };
    return BuildMachine.start(this.#home, image, options, this.#deadline);
  }

  /** The sandbox of a stage, with all that its layers hold. */
  async #machine(built: Built): Promise<BuildMachine> {
    if (built.machine !== undefined) return built.machine;
    const { arch, image } = built;
    if (image !== undefined) built.machine = await this.#boot(image, arch);
    else {
      const { name, composed } = await this.#stageImage(this.#parts(built), built.key, arch);
      built.machine = await this.#boot(name, arch, composed);
    }
    return built.machine;
  }

  async #stageImage(
    parts: ImageParts,
    key: string,
    arch: Arch,
  ): Promise<{ readonly name: string; readonly composed: boolean }> {
    const name = stageImageName(key);
    const { composed } = await this.#compose(parts, name, arch);
    await touchStageImage(this.#home.paths, name, arch);
    return { name, composed };
  }

  async #instruction(built: Built, instruction: Instruction, position: string): Promise<void> {
    const { keyword, line, text } = instruction;
    if (keyword === "ARG") {
      const lookup = lookupIn(built.state);
      const args = new Map(built.state.args);
      for (const [name, value] of atLine(this.#name, line, () => declared(text, this.#escape, lookup))) {
        this.#used.add(name);
        const known =
          this.#given.get(name) ?? value ?? this.#plan.globals.get(name) ?? this.#platform.get(name);
        if (known !== undefined) args.set(name, known);
      }
      built.state = { ...built.state, args };
      return;
    }
    const next = atLine(this.#name, line, () => applyToState(built.state, instruction, this.#escape));
    if (next !== undefined) {
      built.state = next;
      built.key = stepKey([built.key, "config", next.config]);
      this.#note(built, instruction.shown, undefined);
      return;
    }
    const step = ++this.#steps;
    const stage = built.stage.name ?? `stage-${built.stage.index}`;
    const startedAt = Date.now();
    this.#event({ type: "start", step, stage, position, line, instruction: instruction.shown });
    try {
      const cached = await this.#carryOut(built, instruction, step);
      if (cached) this.#cached++;
      this.#event({ type: "done", step, cached, durationMs: Date.now() - startedAt });
    } catch (error) {
      this.#event({ type: "failed", step });
      throw this.#withLine(error, instruction);
    }
  }

  #withLine(error: unknown, { line, shown }: Pick<Instruction, "line" | "shown">): unknown {
    if (!isSmolVMError(error) || error.details.line !== undefined || this.#deadline.expired) return error;
    return new SmolVMError(error.code, `${this.#name}:${line}: ${shown}: ${error.message}`, {
      hint: error.hint,
      details: { ...error.details, file: this.#name, line, instruction: shown },
      cause: error,
    });
  }

  #note(built: Built, createdBy: string, layer: MadeLayer | undefined): void {
    const { created } = built;
    const entry: HistoryEntry = {
      ...(created === undefined ? {} : { created }),
      created_by: createdBy,
      comment: "smolvm image build",
      ...(layer === undefined ? { empty_layer: true } : {}),
    };
    const { rootfs, history } = built.document;
    if (layer !== undefined) built.layers.push(layer);
    built.document = {
      ...built.document,
      history: [...history, entry],
      rootfs: {
        type: "layers",
        diff_ids: [...rootfs.diff_ids, ...(layer === undefined ? [] : [layer.diffId])],
      },
    };
    if (layer !== undefined) built.image = undefined;
  }

  /** @returns whether what it makes was known */
  async #carryOut(built: Built, instruction: Instruction, step: number): Promise<boolean> {
    switch (instruction.keyword) {
      case "RUN":
        return await this.#run(built, instruction, step);
      case "WORKDIR": {
        const path = atLine(this.#name, instruction.line, () =>
          expandText(instruction.text, this.#escape, lookupIn(built.state)),
        );
        const workdir = posix.resolve("/", built.state.config.WorkingDir ?? "/", path);
        built.state = { ...built.state, config: { ...built.state.config, WorkingDir: workdir } };
        return await this.#layer(built, ["WORKDIR", workdir], `WORKDIR ${workdir}`, async ({ vm }) => {
          await vm.files.mkdir(workdir, { parents: true, user: "0" });
        });
      }
      case "COPY":
      case "ADD":
        return await this.#copy(built, instruction);
      default:
        throw this.#fail(instruction.line, `${instruction.keyword} is not understood`);
    }
  }

  /** A step that changes files: what it makes is known, or it is carried out. */
  async #layer(
    built: Built,
    depends: readonly unknown[],
    createdBy: string,
    act: (machine: BuildMachine) => Promise<void>,
  ): Promise<boolean> {
    const { paths } = this.#home;
    const key = stepKey([built.key, built.arch, ...depends]);
    const known = this.#options.noCache === true ? undefined : await knownStep(paths, key);
    let made = known;
    if (known !== undefined) {
      // It has not what the layer holds.
      await built.machine?.stop();
      built.machine = undefined;
    }
    if (made === undefined) {
      const machine = await this.#machine(built);
      await machine.nextTick(this.#deadline);
      await act(machine);
      failpoint("step done");
      const layer = await machine.layer(this.#deadline);
      const date = sourceDate();
      const created = new Date(date === undefined ? Date.now() : date * 1000).toISOString();
      made = { layer, created };
      await keepStep(paths, key, made);
    }
    built.key = stepKey([key, made.layer?.descriptor.digest]);
    built.created = made.created;
    this.#note(built, createdBy, made.layer);
    return known !== undefined;
  }

  async #run(built: Built, instruction: Instruction, step: number): Promise<boolean> {
    const { flags, text, heredocs, line, shown } = instruction;
    const { config, args } = built.state;
    const workdir = config.WorkingDir ?? "/";
    const mounts: StepMount[] = [];
    let noNetwork = false;
    for (const { name, value = "" } of flags) {
      const expanded = atLine(this.#name, line, () => expandText(value, this.#escape, lookupIn(built.state)));
      if (name === "mount") mounts.push(atLine(this.#name, line, () => parseMount(expanded, workdir)));
      else if (name === "network" && ["default", "none"].includes(expanded)) noNetwork = expanded === "none";
      else throw this.#fail(line, `RUN --${name}=${value} is not supported`);
    }
    const secrets = this.#options.secrets ?? {};
    for (const mount of mounts)
      if (mount.type === "secret" && mount.required && secrets[mount.id] === undefined)
        throw this.#fail(
          line,
          `the secret '${mount.id}' is required, and was not given (--secret id=${mount.id},src=FILE)`,
        );
    const bound: { digest: unknown; open: () => Promise<BoundFiles> }[] = [];
    for (const mount of mounts) if (mount.type === "bind") bound.push(await this.#bound(built, mount, line));
    const shell = config.Shell ?? ["/bin/sh", "-c"];
    // Here-documents are the shell's, unless one is all that there is.
    const first = heredocs[0];
    const isScript = first !== undefined && heredocs.length === 1 && /^<<-?["']?\w+["']?$/.test(text);
    const whole = isScript
      ? first.content
      : [text, ...heredocs.map(({ name, content }) => `${content}${name}`)].join("\n");
    // One that says what it is for (#!/usr/bin/env python3) is executed itself.
    const script = isScript && first.content.startsWith("#!") ? first.content : undefined;
    const given = heredocs.length > 0 ? [...shell, whole] : commandOf(built.state, text);
    const command = script === undefined ? given : [SCRIPT];
    const env = new Map((config.Env ?? []).map(splitVariable));
    const declaredArgs = [...args].filter(([name]) => !env.has(name)).sort();
    const proxies = PROXIES.flatMap((name) => {
      const value = this.#given.get(name);
      return value === undefined ? [] : [[name, value] as const];
    });
    const { network = "open" } = this.#options;
    const depends = [
      "RUN",
      script === undefined ? command : ["script", script],
      declaredArgs.filter(([name]) => !PROXIES.includes(name)),
      network,
      ...(noNetwork ? ["none"] : []),
      ...(mounts.length > 0 ? [mounts, bound.map(({ digest }) => digest)] : []),
    ];
    const says = `RUN ${jsonWords(text) === undefined ? shell.join(" ") : ""} ${whole}`.replace(/ {2,}/, " ");
    return await this.#layer(built, depends, says.trim(), async (machine) => {
      const { vm } = machine;
      const user = config.User || "0";
      if (script !== undefined) await putScript(machine, script);
      const opened = [];
      for (const each of bound) opened.push(await each.open());
      const prepared =
        mounts.length === 0 && !noNetwork
          ? undefined
          : await prepareStep(machine, command, mounts, opened, {
              home: this.#home,
              arch: built.arch,
              noNetwork,
              user,
              workdir,
              env,
              secrets,
              deadline: this.#deadline,
            });
      let tail = Buffer.alloc(0);
      const output = (name: "stdout" | "stderr") => (data: Uint8Array) => {
        tail = Buffer.concat([tail, data]).subarray(-OUTPUT_TAIL_BYTES);
        this.#event({ type: "output", step, name, data });
      };
      const ended = await vm
        .run(prepared?.command ?? command, {
          env: { ...Object.fromEntries([...proxies, ...declaredArgs, ...env]), ...prepared?.env },
          cwd: prepared === undefined ? workdir : "/",
          user: prepared === undefined ? user : "0",
          capture: false,
          onStdout: output("stdout"),
          onStderr: output("stderr"),
          signal: this.#deadline.signal,
        })
        .catch((error: unknown) => {
          if (this.#deadline.expired) throw this.#deadline.error();
          throw error;
        });
      await prepared?.cleanUp();
      if (ended.exitCode === 0) return;
      const how = ended.signal === undefined ? `exit code ${ended.exitCode}` : ended.signal;
      const printed = tail.toString("utf8");
      throw new SmolVMError("STEP_FAILED", `${this.#name}:${line}: ${shown}: ${how}`, {
        hint: `Change line ${line} of ${this.#options.dockerfileText === undefined ? this.#file : "it"}, and build again: what came before it is kept.`,
        details: { file: this.#name, line, instruction: shown, exitCode: ended.exitCode, output: printed },
      });
    });
  }

  /** What a bind mount mounts: files of the context, or a directory or file of a stage or image. */
  async #bound(
    built: Built,
    { from, source }: Extract<StepMount, { type: "bind" }>,
    line: number,
  ): Promise<{ digest: unknown; open: () => Promise<BoundFiles> }> {
    if (from === undefined) {
      const files = await addedFiles(this.#context, [source], {
        dirs: this.#home.paths,
        keyword: "COPY",
        checksum: undefined,
        deadline: this.#deadline,
        fail: (what, hint) => this.#fail(line, what, hint),
      });
      return {
        digest: await files[0]!.digest(),
        open: async () => ({ files, isOneFile: files[0]!.isOneFile }),
      };
    }
    const { key, machine } = await this.#source(built, from, line);
    const open = async (): Promise<BoundFiles> => {
      const given = await machine();
      const [path] = await matching(given, posix.resolve("/", source));
      if (path === undefined) throw this.#fail(line, `there is no '${source}' to mount in '${from}'`);
      const info = await given.vm.files.stat(path, { user: "0" });
      const isOneFile = info.type !== "directory";
      const tar = (): AsyncIterable<Buffer> =>
        isOneFile ? given.fileTar(info, "file", {}, this.#deadline) : given.tar(path, {}, this.#deadline);
      return { files: [{ isOneFile, digest: async () => "", tar, close: async () => {} }], isOneFile };
    };
    return { digest: key, open };
  }

  async #copy(built: Built, instruction: Instruction): Promise<boolean> {
    const { keyword, line, heredocs } = instruction;
    const flags = this.#copyFlags(built, instruction);
    const lookup = lookupIn(built.state);
    const words = atLine(
      this.#name,
      line,
      () =>
        jsonWords(instruction.text)?.map((word) => expandText(word, this.#escape, lookup)) ??
        splitWords(instruction.text, this.#escape, lookup),
    );
    const to = words.at(-1);
    const sources = words.slice(0, -1).filter((word) => !/^<<-?\w+$/.test(word));
    if (to === undefined || sources.length + heredocs.length === 0)
      throw this.#fail(line, `${keyword} takes what is copied, and where to`);
    const path = inImage(built.state.config.WorkingDir, to);
    if (sources.length + heredocs.length > 1 && !path.endsWith("/"))
      throw this.#fail(line, `${keyword} of several takes a directory, with a slash at its end: ${to}/`);
    const { chown, chmod, from, checksum, unpack, filter } = flags;
    const mode = chmod === undefined ? undefined : modeOf(chmod, instruction, this.#name);
    const says = `${keyword} ${instruction.text}`;
    const own = async (machine: BuildMachine): Promise<{ uid: number; gid: number }> =>
      chown === undefined ? { uid: 0, gid: 0 } : await ownerOf(machine.vm, chown, instruction, this.#name);
    if (from !== undefined)
      return await this.#copyFrom(built, instruction, {
        from,
        sources,
        path,
        chown,
        chmod,
        mode,
        filter,
        says,
      });
    const texts = heredocs.map(({ name, content, expand }) => {
      const whole = expand
        ? atLine(this.#name, line, () => expandVariables(content, this.#escape, lookup))
        : content;
      return textFile(name, whole);
    });
    const added = await addedFiles(this.#context, sources, {
      dirs: this.#home.paths,
      keyword,
      filter,
      checksum,
      unpack,
      offline: this.#options.network === "off",
      deadline: this.#deadline,
      fail: (what, hint) => this.#fail(line, what, hint),
      warn: (what) => this.#warn(line, what),
    });
    const files = [...added, ...texts];
    try {
      const digests = [];
      for (const file of files) digests.push(await file.digest());
      return await this.#layer(built, [keyword, path, chown, chmod, digests], says, async (machine) => {
        const owner = await own(machine);
        for (const file of files) {
          const { directory, name } = await destination(machine.vm, path, file.isOneFile);
          const above = file.above?.map((each) => ({ ...each, ...owner })) ?? [];
          await makeAbove(machine.vm, directory, above);
          const tar = file.tar({ ...owner, mode, name });
          const leftOut = await putTar(machine.vm, tar, directory);
          if (leftOut.length > 0) this.#warn(line, `devices and pipes are left out: ${shownList(leftOut)}`);
        }
      });
    } finally {
      for (const file of files) await file.close();
    }
  }

  #copyFlags(
    built: Built,
    instruction: Instruction,
  ): {
    chown?: string;
    chmod?: string;
    from?: string;
    checksum?: string;
    unpack: boolean | undefined;
    filter: CopyFilter;
  } {
    const { keyword, flags, line } = instruction;
    atLine(this.#name, line, () => checkFlags(instruction)); // those of ONBUILD come with an image, and were in no plan
    const known: Record<string, string> = {};
    const exclude: string[] = [];
    // Not `link`: layers are made of what has changed, whether or not they could be had without the ones below.
    const switches: { link?: boolean; parents?: boolean; unpack?: boolean } = {};
    for (const { name, value } of flags) {
      if (SWITCHES[keyword]!.includes(name)) {
        switches[name as keyof typeof switches] = value !== "false";
        continue;
      }
      if (name === "keep-git-dir")
        throw this.#fail(
          line,
          "ADD --keep-git-dir is of Git repositories, which are not supported",
          WITHOUT_GIT,
        );
      const expanded = atLine(this.#name, line, () =>
        expandText(value!, this.#escape, lookupIn(built.state)),
      );
      if (name === "exclude") exclude.push(expanded);
      else known[name] = expanded;
    }
    const { parents = false, unpack } = switches;
    return { ...known, unpack, filter: { parents, exclude } };
  }

  async #copyFrom(
    built: Built,
    { line }: Instruction,
    what: {
      from: string;
      sources: readonly string[];
      path: string;
      chown: string | undefined;
      chmod: string | undefined;
      mode: Chmod | undefined;
      filter: CopyFilter;
      says: string;
    },
  ): Promise<boolean> {
    const { from, sources, path, chown, chmod, mode, filter, says } = what;
    const { key, machine: other } = await this.#source(built, from, line);
    const { parents, exclude } = filter;
    const filtered = parents || exclude.length > 0 ? [filter] : [];
    const depends = ["COPY --from", key, sources, path, chown, chmod, ...filtered];
    return await this.#layer(
      built,
      depends,
      `${says.replace("COPY", `COPY --from=${from}`)}`,
      async (machine) => {
        const given = await other();
        const owner =
          chown === undefined
            ? undefined
            : await ownerOf(machine.vm, chown, { line } as Instruction, this.#name);
        const to = { vm: machine.vm, path, placed: { ...owner, mode } };
        for (const source of sources) {
          const found = await copyFromMachine(given, source, to, filter, this.#deadline);
          if (found) continue;
          if (!hasPattern(source)) throw this.#fail(line, `there is no '${source}' to copy in '${from}'`);
          this.#warn(line, `'${source}' matches nothing in '${from}'`);
        }
      },
    );
  }

  #warn(line: number, what: string): void {
    this.#warnings.push(`${this.#name}:${line}: ${what}`);
  }

  /** What `--from` names: a stage before, or an image. */
  async #source(
    built: Built,
    from: string,
    line: number,
  ): Promise<{ key: string; machine: () => Promise<BuildMachine> }> {
    const stage = stageCalled(this.#plan.stages, from, built.stage.index);
    if (stage !== undefined) {
      const source = await this.#stage(stage.index);
      return { key: source.key, machine: () => this.#machine(source) };
    }
    if (/^\d+$/.test(from) || from.toLowerCase() === built.stage.name)
      throw this.#fail(line, `there is no stage '${from}' before this one`);
    const { name, key, machine } = await this.#base(from, built.arch);
    if (machine !== undefined) this.#others.set(name, machine);
    return {
      key,
      machine: async () => {
        const other = this.#others.get(name) ?? (await this.#boot(name, built.arch));
        this.#others.set(name, other);
        return other;
      },
    };
  }
}
