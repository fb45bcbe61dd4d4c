import type { Arch } from "../../config/spec.ts";
import { GO_ARCH } from "../oci/platform.ts";

/** The part of an image's config that says how it is run, as it stands in the document (image-spec, config.md, and Docker's besides). */
export interface RunConfig {
  Env?: string[];
  User?: string;
  WorkingDir?: string;
  Entrypoint?: string[];
  Cmd?: string[];
  ExposedPorts?: Record<string, object>;
  Volumes?: Record<string, object>;
  Labels?: Record<string, string>;
  StopSignal?: string;
  /** Docker's: times in ns */
  Healthcheck?: Healthcheck;
  Shell?: string[];
  OnBuild?: string[];
}

export interface Healthcheck {
  Test: string[];
  Interval?: number;
  Timeout?: number;
  StartPeriod?: number;
  StartInterval?: number;
  Retries?: number;
}

/** How a layer, or a change of the config alone, was made. */
export interface HistoryEntry {
  created?: string;
  created_by?: string;
  author?: string;
  comment?: string;
  empty_layer?: boolean;
}

/** An image's config document: what matters here, and what it has besides. */
export interface ConfigDocument {
  created?: string;
  author?: string;
  architecture: string;
  os: string;
  config: RunConfig;
  rootfs: { type: "layers"; diff_ids: string[] };
  history: HistoryEntry[];
}

/** The document of an image in which nothing is. Pure. */
export function emptyDocument(arch: Arch): ConfigDocument {
  return {
    architecture: GO_ARCH[arch],
    os: "linux",
    config: {},
    rootfs: { type: "layers", diff_ids: [] },
    history: [],
  };
}

/** What an image made of a sandbox says otherwise than the one that it is made over. Absent members stay as they are there. */
export interface ImageChanges {
  /** variables besides; undefined: one less */
  readonly env?: Readonly<Record<string, string | undefined>> | undefined;
  /** name, uid, `name:group` or `uid:gid` */
  readonly user?: string | undefined;
  /** absolute */
  readonly workdir?: string | undefined;
  /** what runs where no command is given; without `cmd` the one of the image below goes */
  readonly entrypoint?: readonly string[] | undefined;
  /** its arguments, or the command */
  readonly cmd?: readonly string[] | undefined;
  /** besides, as "80" or "53/udp" */
  readonly exposedPorts?: readonly string[] | undefined;
  /** besides */
  readonly volumes?: readonly string[] | undefined;
  /** besides; undefined: one less */
  readonly labels?: Readonly<Record<string, string | undefined>> | undefined;
  readonly stopSignal?: string | undefined;
}

/** An image's config with changes. Pure. */
export function withChanges(config: RunConfig, changes: ImageChanges): RunConfig {
  const { env, user, workdir, entrypoint, cmd, exposedPorts, volumes, labels, stopSignal } = changes;
  const next: RunConfig = { ...config };
  if (env !== undefined) {
    next.Env = [...(config.Env ?? [])];
    for (const [name, value] of Object.entries(env)) next.Env = withVariable(next.Env, name, value);
  }
  if (user !== undefined) next.User = user;
  if (workdir !== undefined) next.WorkingDir = workdir;
  if (entrypoint !== undefined) {
    next.Entrypoint = [...entrypoint];
    delete next.Cmd;
  }
  if (cmd !== undefined) next.Cmd = [...cmd];
  if (exposedPorts !== undefined)
    next.ExposedPorts = withKeys(
      config.ExposedPorts,
      exposedPorts.map((port) => (port.includes("/") ? port : `${port}/tcp`)),
    );
  if (volumes !== undefined) next.Volumes = withKeys(config.Volumes, volumes);
  if (labels !== undefined) {
    const all = Object.entries({ ...config.Labels, ...labels });
    next.Labels = Object.fromEntries(
      all.filter((entry): entry is [string, string] => entry[1] !== undefined),
    );
  }
  if (stopSignal !== undefined) next.StopSignal = stopSignal;
  return next;
}

/** A list of variables with one more, or another value of one; undefined: without it. Pure. */
export function withVariable(env: readonly string[], name: string, value: string | undefined): string[] {
  const at = env.findIndex((item) => item.startsWith(`${name}=`));
  const others = env.filter((_, index) => index !== at);
  if (value === undefined) return others;
  return at < 0 ? [...env, `${name}=${value}`] : env.with(at, `${name}=${value}`);
}

function withKeys(
  before: Record<string, object> | undefined,
  keys: readonly string[],
): Record<string, object> {
  const all = new Set([...Object.keys(before ?? {}), ...keys]);
  return Object.fromEntries([...all].sort().map((key) => [key, {}]));
}
