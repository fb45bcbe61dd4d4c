import { SmolVMError } from "../errors.ts";
import { type Environment, readEnvironment } from "../host/environment.ts";
import { configFiles } from "../host/files/config-files.ts";
import { readText } from "./store/read-text.ts";

/** The file of settings, of a user or of the machine. */
const FILE = "images.json";
const DEFAULT_DOWNLOADS_BYTES = 20 * 1024 ** 3;

/** What a user, or the machine's administrator, has set for images. */
export interface ImageSettings {
  /** most bytes of downloads that are kept for later pulls */
  readonly downloadsMaxBytes: number;
  /** where that is from: a variable's name, a file's, or "default" */
  readonly downloadsMaxFrom: string;
  /** by registry ("docker.io"): where its images are asked for first, in this order */
  readonly mirrors: ReadonlyMap<string, readonly URL[]>;
}

/**
 * The settings: `SMOLVM_DOWNLOADS_MAX` and `SMOLVM_REGISTRY_MIRRORS`, then images.json of the user, then that of the machine.
 * @throws SmolVMError CONFIG_INVALID for what is none, naming the variable or file
 */
export function imageSettings(
  env: Environment = readEnvironment(process.env),
  platform: NodeJS.Platform = process.platform,
): ImageSettings {
  const files = configFiles(FILE, env, platform).flatMap((path) => {
    const text = readText(path);
    return text === undefined ? [] : [{ path, value: parseFile(text, path) }];
  });
  const max = [
    ...(env.downloadsMax === undefined ? [] : [{ path: "SMOLVM_DOWNLOADS_MAX", text: env.downloadsMax }]),
    ...files.flatMap(({ path, value: { downloadsMax: text } }) =>
      text === undefined ? [] : [{ path, text }],
    ),
  ][0];
  const mirrors = new Map<string, readonly URL[]>();
  for (const { path, value } of files)
    for (const [registry, list] of Object.entries(value.mirrors ?? {}))
      if (!mirrors.has(registry))
        mirrors.set(
          registry,
          list.map((url) => parseMirror(url, path)),
        );
  for (const [registry, list] of mirrorsOfVariable(env.registryMirrors)) mirrors.set(registry, list);
  return {
    downloadsMaxBytes: max === undefined ? DEFAULT_DOWNLOADS_BYTES : parseBytes(max.text, max.path),
    downloadsMaxFrom: max?.path ?? "default",
    mirrors,
  };
}

interface SettingsFile {
  readonly downloadsMax?: string | undefined;
  readonly mirrors?: Readonly<Record<string, readonly string[]>> | undefined;
}

function parseFile(text: string, path: string): SettingsFile {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw wrong(path, `is no JSON (${(error as Error).message})`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw wrong(path, "is no JSON object");
  const { downloadsMax, mirrors, ...others } = value as Record<string, unknown>;
  const other = Object.keys(others)[0];
  if (other !== undefined) throw wrong(path, `has the unknown setting '${other}'`);
  if (downloadsMax !== undefined && typeof downloadsMax !== "string")
    throw wrong(path, 'has a downloadsMax that is no size, such as "20G"');
  const isList = (list: unknown): boolean =>
    Array.isArray(list) && list.length <= 16 && list.every((url) => typeof url === "string");
  const fine =
    mirrors === undefined ||
    (typeof mirrors === "object" && mirrors !== null && Object.values(mirrors).every(isList));
  if (!fine) throw wrong(path, 'has mirrors that are not {"docker.io": ["https://HOST", ...]}');
  return { downloadsMax, mirrors: mirrors as SettingsFile["mirrors"] };
}

/** "docker.io=https://a,docker.io=http://127.0.0.1:5000,ghcr.io=https://b". */
function mirrorsOfVariable(text: string | undefined): Map<string, URL[]> {
  const mirrors = new Map<string, URL[]>();
  const name = "SMOLVM_REGISTRY_MIRRORS";
  for (const part of (text ?? "").split(",").filter((one) => one.trim() !== "")) {
    const [, registry, url] = /^\s*([^=\s]+)=(\S+)\s*$/.exec(part) ?? [];
    if (registry === undefined || url === undefined)
      throw wrong(name, `has '${part.trim().slice(0, 100)}', which is not REGISTRY=https://HOST`);
    mirrors.set(registry, [...(mirrors.get(registry) ?? []), parseMirror(url, name)]);
  }
  return mirrors;
}

function parseMirror(text: string, path: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const fine = url !== undefined && /^https?:$/.test(url.protocol) && url.search === "" && url.hash === "";
  if (!fine || url.username !== "" || url.password !== "")
    throw wrong(path, `names the mirror '${text.slice(0, 200)}', which is not https://HOST[:PORT][/PATH]`);
  return url;
}

function parseBytes(text: string, path: string): number {
  const match = /^(\d+(?:\.\d+)?)([kmgt])(?:i?b)?$|^0$/i.exec(text.trim());
  if (match === null) throw wrong(path, `has '${text.slice(0, 100)}', which is no size such as 20G`);
  const unit = { k: 1024, m: 1024 ** 2, g: 1024 ** 3, t: 1024 ** 4 }[match[2]?.toLowerCase() ?? "k"]!;
  return Math.floor(Number(match[1] ?? 0) * unit);
}

function wrong(path: string, what: string): SmolVMError {
  return new SmolVMError("CONFIG_INVALID", `'${path}' ${what}`, {
    hint: 'Settings of images: {"downloadsMax": "20G", "mirrors": {"docker.io": ["https://mirror.example"]}}, or SMOLVM_DOWNLOADS_MAX=20G and SMOLVM_REGISTRY_MIRRORS=docker.io=https://mirror.example',
    details: { path },
  });
}
