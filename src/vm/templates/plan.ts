import { join } from "node:path";
import { BACKEND_FEATURES } from "../../backends/features.ts";
import type { VmSpec } from "../../config/spec.ts";
import { cachedJsonSync } from "../../host/files/cached-json.ts";
import type { TemplateDirs } from "../../snapshots/layout.ts";
import { type MachineFacts, templateFacts, templateKey, warmedKey } from "../../snapshots/machine-facts.ts";
import { shortHash } from "../../util/short-hash.ts";
import { machineFacts } from "./facts.ts";
import { warmUpsOf } from "./warm-ups.ts";

/** The template for a sandbox's first start, or why it can have none. */
export type TemplatePlan =
  | {
      readonly key: string;
      /** the key of the one that has run nothing */
      readonly kind: string;
      /** command lines that it has run */
      readonly warm: readonly string[];
    }
  | { readonly why: string };

/** Which template the first start of such a sandbox may go on from. Later starts have a disk that no template knows. */
export function planTemplate(dirs: TemplateDirs, spec: VmSpec): TemplatePlan {
  const why = unfit(spec);
  if (why !== undefined) return { why };
  try {
    const kind = kindOf(dirs, machineFacts(dirs, spec), spec.machine);
    const warm = spec.warm ?? warmUpsOf(dirs, kind);
    return { key: warmedKey(kind, warm), kind, warm };
  } catch (error) {
    return { why: `what it boots from cannot be read: ${(error as Error).message}` };
  }
}

/** {@link templateKey}, hashed once for each kind of machine. */
function kindOf({ cacheDir }: TemplateDirs, facts: MachineFacts, machine: VmSpec["machine"]): string {
  const { networkCard } = machine;
  const name = shortHash(
    JSON.stringify([networkCard, machine.memSizeMib, facts.files.map(({ path }) => path)]),
  );
  const file = join(cacheDir, `template-${name}.json`);
  const isText = (value: unknown): value is string => typeof value === "string";
  return cachedJsonSync(file, templateFacts(facts, networkCard), isText, () =>
    templateKey(facts, networkCard),
  );
}

/** The sandbox that is booted for a template: of the one that it is like, the machine and its disk's size, and nothing else. Pure. */
export function templateSpec(like: VmSpec): VmSpec {
  // A door is given with the identity: until then a machine with one is as one without a network.
  const network = like.machine.network === "restricted" ? "off" : like.machine.network;
  return {
    ...like,
    machine: { ...like.machine, network },
    networkPolicy: undefined,
    hostname: "template",
    env: {},
    workdir: undefined,
    user: undefined,
    lifetime: "owner",
  };
}

/** What only a boot can give a machine. */
function unfit({ template = "off", machine, seedPath }: VmSpec): string | undefined {
  if (template === "off") return "templates are switched off";
  if (!BACKEND_FEATURES[machine.backend].templates) return `${machine.backend} has none yet`;
  if (machine.transport === "tcp") return "machines that are reached through a relay have none yet";
  if (machine.gdbPort !== undefined) return "gdb is asked for";
  if (seedPath === undefined) return "its disk is the user's own";
  if (machine.disks.some(({ serial }) => serial.startsWith("extra-")))
    return "it has drives of the user's own";
  return undefined;
}
