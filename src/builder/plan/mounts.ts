import { posix } from "node:path";
import { WordError } from "../../images/dockerfile/words.ts";

/** What `RUN --mount` asks for. */
export type StepMount =
  | {
      readonly type: "bind";
      /** a stage or image; undefined: the context */
      readonly from: string | undefined;
      readonly source: string;
      readonly target: string;
      readonly readOnly: boolean;
    }
  | {
      readonly type: "cache";
      readonly id: string;
      readonly target: string;
      readonly readOnly: boolean;
      readonly mode: number;
      readonly uid: number;
      readonly gid: number;
    }
  | {
      readonly type: "secret";
      readonly id: string;
      /** undefined: it is a variable alone */
      readonly target: string | undefined;
      readonly env: string | undefined;
      readonly required: boolean;
      readonly mode: number;
      readonly uid: number;
      readonly gid: number;
    }
  | { readonly type: "tmpfs"; readonly target: string /** bytes */; readonly size: number };

const KNOWN: Readonly<Record<StepMount["type"], readonly string[]>> = {
  bind: ["from", "source", "target", "readonly"],
  cache: ["id", "target", "readonly", "sharing", "mode", "uid", "gid"],
  secret: ["id", "target", "env", "required", "mode", "uid", "gid"],
  tmpfs: ["target", "size"],
};
const ALIASES: Readonly<Record<string, string>> = {
  src: "source",
  dst: "target",
  destination: "target",
  ro: "readonly",
  rw: "readwrite",
};
/** Half of a small step's memory. */
const DEFAULT_TMPFS_BYTES = 512 * 2 ** 20;

/**
 * Reads the value of `--mount`. Pure.
 * @param workdir what a relative target is in
 * @throws WordError
 */
export function parseMount(value: string, workdir: string): StepMount {
  const fields = new Map<string, string>();
  for (const part of value.split(",")) {
    const [key = "", given] = part.split(/=(.*)/s) as [string, string | undefined];
    const name = ALIASES[key] ?? key;
    if (name === "readwrite") fields.set("readonly", given === "false" ? "true" : "false");
    else fields.set(name, given ?? "true");
  }
  const type = fields.get("type") ?? "bind";
  if (!(type in KNOWN)) throw new WordError(`there is no mount of type ${type}`);
  const kind = type as StepMount["type"];
  for (const name of fields.keys())
    if (name !== "type" && !KNOWN[kind].includes(name))
      throw new WordError(`a ${type} mount does not take ${name}`);
  const path = fields.get("target");
  const target = path === undefined ? undefined : posix.resolve("/", workdir, path);
  const needed = (): string => {
    if (target !== undefined && target !== "/") return target;
    throw new WordError(`a ${type} mount takes target=PATH`);
  };
  const number = (name: string, otherwise: number, base = 10): number => {
    const text = fields.get(name);
    if (text === undefined) return otherwise;
    const found = Number.parseInt(text, base);
    if (!/^\d{1,10}$/.test(text) || Number.isNaN(found)) throw new WordError(`${name}=${text} is no number`);
    return found;
  };
  const flag = (name: string, otherwise: boolean): boolean => {
    const text = fields.get(name) ?? String(otherwise);
    if (text === "true" || text === "1") return true;
    if (text === "false" || text === "0") return false;
    throw new WordError(`${name}=${text} is neither true nor false`);
  };
  const owner = { uid: number("uid", 0), gid: number("gid", 0) };
  switch (kind) {
    case "bind":
      return {
        type: "bind",
        from: fields.get("from"),
        source: fields.get("source") ?? "/",
        target: needed(),
        readOnly: flag("readonly", true),
      };
    case "cache": {
      const sharing = fields.get("sharing") ?? "shared";
      if (!["shared", "private", "locked"].includes(sharing))
        throw new WordError(`sharing=${sharing} is not one of shared, private, locked`);
      const id = fields.get("id") ?? needed();
      return {
        type: "cache",
        id,
        target: needed(),
        readOnly: flag("readonly", false),
        mode: number("mode", 0o755, 8),
        ...owner,
      };
    }
    case "secret": {
      const env = fields.get("env");
      const id = fields.get("id") ?? (target === undefined ? undefined : posix.basename(target));
      if (id === undefined) throw new WordError("a secret mount takes id=ID");
      return {
        type: "secret",
        id,
        target: target ?? (env === undefined ? `/run/secrets/${id}` : undefined),
        env,
        required: flag("required", false),
        mode: number("mode", 0o400, 8),
        ...owner,
      };
    }
    case "tmpfs": {
      const size = fields.get("size");
      const [, count, unit = ""] = /^(\d{1,12})([kmg]?)b?$/i.exec(size ?? "") ?? [];
      if (size !== undefined && count === undefined) throw new WordError(`size=${size} is no size`);
      const factor = { "": 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30 }[unit.toLowerCase()]!;
      return {
        type: "tmpfs",
        target: needed(),
        size: count === undefined ? DEFAULT_TMPFS_BYTES : Number(count) * factor,
      };
    }
  }
}
