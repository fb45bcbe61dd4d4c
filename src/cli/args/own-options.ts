import type { RestoreOptions } from "../../types.ts";
import type { Arguments } from "../arguments.ts";
import type { OptionSpec } from "../command.ts";
import { parseDurationMs } from "./duration.ts";
import { SHARE_OPTION, VOLUME_OPTION } from "./options.ts";
import { parseLabels } from "./pairs.ts";
import { parseVolumes } from "./volume.ts";

/** What a sandbox that goes on from a saved one has of its own; `snapshot restore` and `fork` have them. */
export const OWN_OPTIONS: readonly OptionSpec[] = [
  { name: "name", value: "NAME", help: "name of the new sandbox (default: a generated one)" },
  {
    name: "label",
    short: "l",
    value: "K=V",
    repeat: true,
    help: "label to find it by: smolvm ls --label K=V",
  },
  { name: "ttl", value: "TIME", help: "time to live, e.g. 2h: then it is removed, whatever runs in it" },
  VOLUME_OPTION,
  SHARE_OPTION,
  { name: "timeout", value: "TIME", help: "give up after that time (default: 60s)" },
];

/** The library's options for those. @throws SmolVMError USAGE */
export function ownOptions(args: Arguments): Omit<RestoreOptions, "diskOnly" | "signal"> {
  const [name, ttl, timeout] = [args.value("name"), args.value("ttl"), args.value("timeout")];
  return {
    lifetime: "detached",
    ...(name === undefined ? {} : { name }),
    ...(args.values("label").length === 0 ? {} : { labels: parseLabels(args.values("label")) }),
    ...(ttl === undefined ? {} : { ttlMs: parseDurationMs("--ttl", ttl, Number.POSITIVE_INFINITY) }),
    ...(args.values("volume").length === 0 ? {} : { mounts: parseVolumes(args) }),
    ...(timeout === undefined ? {} : { timeoutMs: parseDurationMs("--timeout", timeout) }),
  };
}
