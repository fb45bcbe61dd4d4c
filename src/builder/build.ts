import { readFile } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import type { OnProgress } from "../config/progress.ts";
import type { Arch } from "../config/spec.ts";
import { isSmolVMError, SmolVMError } from "../errors.ts";
import { hostArch } from "../host/hardware/facts.ts";
import { type Instruction, parseDockerfile } from "../images/dockerfile/parse.ts";
import { checkTag } from "../images/store/tag.ts";
import type { Deadline } from "../util/deadline.ts";
import type { Home } from "../vm/home.ts";
import { BuildArguments } from "./build-arguments.ts";
import { BuildContext } from "./context/context.ts";
import { archOf, platformVariables } from "./plan/platforms.ts";
import { checkPlan } from "./plan/precheck.ts";
import { type Plan, planStages } from "./plan/stages.ts";
import { Report } from "./report.ts";
import type { BuildOptions } from "./types.ts";

/** A sandbox of a build (machine/machine.ts). */
interface RunningMachine {
  /** what it holds of a cache, if it has used that, is what the next one begins with */
  keepCache(id: string): Promise<void>;
  stop(): Promise<void>;
}

/** What a build was asked for, and what all parts of it have in common. */
export interface Build {
  readonly home: Home;
  readonly options: BuildOptions;
  readonly deadline: Deadline;
  /** names that the image is to get, as the store has them */
  readonly tags: readonly string[];
  readonly context: BuildContext;
  /** path of the Dockerfile, unless its text was given */
  readonly file: string | undefined;
  readonly plan: Plan;
  /** of stages that say none */
  readonly arch: Arch;
  readonly args: BuildArguments;
  /** what an ARG without a value is of itself */
  readonly platform: ReadonlyMap<string, string>;
  readonly report: Report;
  /** the sandboxes that run for it, whatever they were started for: none outlives it */
  readonly machines: Set<RunningMachine>;
  readonly onProgress: OnProgress;
}

/**
 * Reads a Dockerfile, and looks at all that is known before anything is carried out.
 * @throws SmolVMError DOCKERFILE_INVALID, FILE_NOT_FOUND, FILE_TYPE, CONFIG_INVALID
 */
export async function openBuild(
  home: Home,
  directory: string,
  options: BuildOptions,
  deadline: Deadline,
): Promise<Build> {
  const root = resolve(directory);
  const file = options.dockerfile === undefined ? join(root, "Dockerfile") : resolve(options.dockerfile);
  const text = options.dockerfileText ?? (await textOf(file));
  const tags = (options.tags ?? []).map(checkTag);
  const context = await BuildContext.open(root, file);
  const host = hostArch() ?? "x86_64";
  const arch = options.platform === undefined ? host : archOf(options.platform);
  const platform = platformVariables(arch, host);
  const given = new Map(Object.entries(options.buildArgs ?? {}));
  const name = basename(file);
  const { target } = options;
  const plan = planStages(parseDockerfile(text, name), name, { given, platform, target });
  checkPlan(plan);
  return {
    home,
    options,
    deadline,
    tags,
    context,
    file: options.dockerfileText === undefined ? file : undefined,
    plan,
    arch,
    args: new BuildArguments(given, plan.declared),
    platform,
    report: new Report((event) => options.onEvent?.(event)),
    machines: new Set(),
    onProgress: (progress) => options.onProgress?.(progress),
  };
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

/** What a step failed with, and at which line, unless it is told already or the build's time is over. */
export function withLine(
  { plan: { file }, deadline }: Build,
  error: unknown,
  { line, shown }: Pick<Instruction, "line" | "shown">,
): unknown {
  if (!isSmolVMError(error) || error.details.line !== undefined || deadline.expired) return error;
  return new SmolVMError(error.code, `${file}:${line}: ${shown}: ${error.message}`, {
    hint: error.hint,
    details: { ...error.details, file, line, instruction: shown },
    cause: error,
  });
}
