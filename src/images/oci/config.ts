import type { Arch, HealthCheck } from "../../config/spec.ts";
import { invalid, jsonObject } from "./manifest.ts";
import { GO_ARCH, platformMissing, platformName } from "./platform.ts";

/** What an image says of how it is to be run (https://github.com/opencontainers/image-spec/blob/main/config.md). */
export interface ImageConfig {
  /** of every command */
  readonly env: Readonly<Record<string, string>>;
  /** of every command: name, uid, `name:group` or `uid:gid`; undefined: root */
  readonly user: string | undefined;
  /** of every command, absolute; undefined: `/` */
  readonly workdir: string | undefined;
  /** what runs where no command is given: the entrypoint, then */
  readonly entrypoint: readonly string[];
  /** its arguments, or the command where there is none */
  readonly cmd: readonly string[];
  /** as "80/tcp" */
  readonly exposedPorts: readonly string[];
  /** directories that there are to be */
  readonly volumes: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  readonly stopSignal: string | undefined;
  /** absent: none, or it was pulled by an earlier version */
  readonly healthCheck?: HealthCheck | undefined;
}

/** What is known of an image from its config document. */
export interface ImageDocument {
  readonly config: ImageConfig;
  /** sha256 of each layer's tar, from the lowest up, "sha256:..." */
  readonly diffIds: readonly string[];
  /** ISO 8601, as the image says */
  readonly created: string | undefined;
  /** how each layer was made, from the lowest up */
  readonly history: readonly { readonly createdBy: string; readonly empty: boolean }[];
}

/** All variables together; the kernel and the agent have limits of their own. */
export const MAX_ENV_BYTES: number = 256 * 1024;
/** Of variables, labels and the like. */
export const MAX_ITEMS: number = 1000;
/** Servers of media expose thousands of them. */
export const MAX_PORTS: number = 65_536;

/**
 * Reads an image's config. Pure.
 * @throws SmolVMError IMAGE_INVALID; IMAGE_NOT_FOUND if it is for another kind of machine
 */
export function parseImageDocument(bytes: Uint8Array, arch: Arch, name: string): ImageDocument {
  const document = jsonObject(bytes, name, "config");
  const { architecture, os, variant, created } = document;
  // Some tools leave it out; then the index has chosen.
  if (typeof os === "string" && os !== "" && typeof architecture === "string" && architecture !== "") {
    if (os !== "linux" || architecture !== GO_ARCH[arch]) {
      const platform = { os, architecture, variant: typeof variant === "string" ? variant : undefined };
      throw platformMissing(name, arch, [platformName(platform)]);
    }
  }
  const rootfs = (document.rootfs ?? {}) as { type?: unknown; diff_ids?: unknown };
  const diffIds = texts(rootfs.diff_ids, name, "diff_ids");
  if (!diffIds.every((id) => /^sha256:[0-9a-f]{64}$/.test(id)))
    throw invalid(name, "its config names layers by no sha256");
  return {
    config: runConfig(document.config, name),
    diffIds,
    created: typeof created === "string" && created.length < 64 ? created : undefined,
    history: history(document.history),
  };
}

function runConfig(value: unknown, name: string): ImageConfig {
  const config = (typeof value === "object" && value !== null ? value : {}) as Record<string, unknown>;
  const text = (key: string): string | undefined => {
    const found = config[key];
    if (found === undefined || found === null || found === "") return undefined;
    if (typeof found !== "string" || found.length > 4096 || found.includes("\0"))
      throw invalid(name, `its ${key} is no text`);
    return found;
  };
  const workdir = text("WorkingDir");
  return {
    env: environment(config.Env, name),
    user: text("User"),
    // Docker takes a relative one as from the root.
    workdir: workdir === undefined || workdir.startsWith("/") ? workdir : `/${workdir}`,
    entrypoint: texts(config.Entrypoint, name, "Entrypoint"),
    cmd: texts(config.Cmd, name, "Cmd"),
    exposedPorts: keys(config.ExposedPorts, name, "ExposedPorts", MAX_PORTS).filter((port) =>
      /^\d{1,5}\/(?:tcp|udp|sctp)$/.test(port),
    ),
    volumes: keys(config.Volumes, name, "Volumes"),
    labels: labels(config.Labels, name),
    stopSignal: text("StopSignal"),
    healthCheck: healthCheck(config.Healthcheck, name),
  };
}

/** https://github.com/moby/docker-image-spec: times are in ns; a test of none, or "NONE", is no health check. */
function healthCheck(value: unknown, name: string): HealthCheck | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const check = value as Record<string, unknown>;
  const [kind, ...words] = texts(check.Test, name, "Healthcheck");
  const number = (key: string, unit: number): number | undefined => {
    const found = check[key];
    return typeof found === "number" && Number.isFinite(found) && found > 0
      ? Math.round(found / unit)
      : undefined;
  };
  if (words.length === 0 || (kind !== "CMD" && kind !== "CMD-SHELL")) return undefined;
  return {
    command: kind === "CMD" ? words : words[0]!,
    intervalMs: number("Interval", 1e6),
    timeoutMs: number("Timeout", 1e6),
    startPeriodMs: number("StartPeriod", 1e6),
    retries: number("Retries", 1),
  };
}

function environment(value: unknown, name: string): Record<string, string> {
  const env: Record<string, string> = {};
  let bytes = 0;
  for (const item of texts(value, name, "Env")) {
    const equals = item.indexOf("=");
    // A name alone, or none, is no variable.
    if (equals <= 0) continue;
    bytes += Buffer.byteLength(item);
    Object.defineProperty(env, item.slice(0, equals), {
      value: item.slice(equals + 1),
      enumerable: true,
      configurable: true,
      writable: true,
    });
  }
  if (bytes > MAX_ENV_BYTES) throw invalid(name, "its environment is larger than 256 KiB");
  return env;
}

function labels(value: unknown, name: string): Record<string, string> {
  const found = keys(value, name, "Labels");
  const all = value as Record<string, unknown>;
  return Object.fromEntries(found.flatMap((key) => (typeof all[key] === "string" ? [[key, all[key]]] : [])));
}

function texts(value: unknown, name: string, what: string): string[] {
  if (value === undefined || value === null) return [];
  const fine =
    Array.isArray(value) &&
    value.length <= MAX_ITEMS &&
    value.every((item) => typeof item === "string" && !item.includes("\0"));
  if (!fine) throw invalid(name, `its ${what} is no list of at most ${MAX_ITEMS} texts`);
  return value as string[];
}

function keys(value: unknown, name: string, what: string, most = MAX_ITEMS): string[] {
  if (value === undefined || value === null) return [];
  const found = typeof value === "object" && !Array.isArray(value) ? Object.keys(value) : undefined;
  if (found === undefined || found.length > most)
    throw invalid(name, `its ${what} is no object of at most ${most}`);
  return found.sort();
}

function history(value: unknown): { createdBy: string; empty: boolean }[] {
  if (!Array.isArray(value)) return [];
  return value.slice(0, MAX_ITEMS).map((step) => {
    const { created_by: by, empty_layer: empty } = (step ?? {}) as Record<string, unknown>;
    return { createdBy: typeof by === "string" ? by.slice(0, 1000) : "", empty: empty === true };
  });
}
