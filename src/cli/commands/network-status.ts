import { type NetworkStatus, networkStatus } from "../../doctor/network.ts";
import { COMMON_OPTIONS } from "../args/options.ts";
import type { Arguments } from "../arguments.ts";
import type { Command, CommandSpec, Outcome } from "../command.ts";
import type { Io } from "../io.ts";
import { renderFields } from "../render/table.ts";

const spec: CommandSpec = {
  name: "network status",
  usage: "[OPTIONS]",
  operands: { min: 0, max: 0, what: "nothing" },
  options: COMMON_OPTIONS,
  exit: "plain",
  notes: [
    "Shows how a sandbox with an open network would be kept from this machine and private networks, and the taps that the set-up made. What one sandbox has: smolvm info NAME. Whether all of it is as it should be: smolvm network check.",
  ],
  examples: ["smolvm network status"],
};

async function networkStatusCommand(io: Io, _args: Arguments): Promise<Outcome> {
  const status = await networkStatus();
  return { data: status, text: () => renderFields(statusFields(status), io.stdout.columns) };
}

/** Pure. */
export function statusFields({ open, taps }: NetworkStatus): [string, string | undefined][] {
  return [
    ["open network", `by ${open.way}`],
    ["not better", open.whyNotNext],
    [
      "taps",
      taps === undefined
        ? "none are set up"
        : `${taps.present} of ${taps.wanted} are there, ${taps.open} in use, of ${taps.user}`,
    ],
    ["their addresses", taps?.subnet],
    ["their name servers", taps?.dns.join(", ")],
    ["forwarding", taps && (taps.forwarding ? "on" : "off")],
  ];
}

export const networkStatusShown: Command = { spec, run: networkStatusCommand };
