import { intendedRules } from "../../doctor/network.ts";
import { COMMON_OPTIONS } from "../args/options.ts";
import { usage } from "../args/parse.ts";
import type { Arguments } from "../arguments.ts";
import type { Command, CommandSpec, Outcome } from "../command.ts";
import type { Io } from "../io.ts";

const KINDS = ["namespace", "taps"] as const;

const spec: CommandSpec = {
  name: "network render",
  usage: "[OPTIONS] [namespace|taps]",
  operands: { min: 0, max: 1, what: "namespace or taps" },
  options: COMMON_OPTIONS,
  exit: "plain",
  notes: [
    "Prints a packet filter as it is meant at this moment, in nft's language: of QEMU's user-mode network (namespace, the default), or of the taps that the set-up made. It changes nothing.",
  ],
  examples: ["smolvm network render", "smolvm network render taps"],
};

async function networkRenderCommand(_io: Io, args: Arguments): Promise<Outcome> {
  const asked = args.operands[0] ?? "namespace";
  const kind = KINDS.find((name) => name === asked);
  if (kind === undefined)
    throw usage(spec, `'${asked}' is neither namespace nor taps`, "Write: smolvm network render taps");
  const rules = await intendedRules(kind);
  return { data: { kind, rules }, text: () => rules };
}

export const networkRender: Command = { spec, run: networkRenderCommand };
