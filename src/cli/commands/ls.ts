import { SmolVMError } from "../../errors.ts";
import { SmolVM } from "../../smolvm.ts";
import { TRANSITIONS, type VmState } from "../../store/states.ts";
import type { ListFilter } from "../../store/vms.ts";
import { nearest } from "../../util/nearest.ts";
import { type BriefList, listBriefly } from "../../vm/info/list.ts";
import { COMMON_OPTIONS } from "../args/options.ts";
import { parseLabels } from "../args/pairs.ts";
import type { Arguments } from "../arguments.ts";
import type { Command, CommandSpec, Outcome } from "../command.ts";
import type { Io } from "../io.ts";
import { renderTable } from "../render/table.ts";
import { formatMib, formatPort, formatUptime } from "../render/units.ts";

const spec: CommandSpec = {
  name: "ls",
  usage: "[OPTIONS]",
  operands: { min: 0, max: 0, what: "nothing" },
  options: [
    {
      name: "state",
      value: "STATE",
      choices: Object.keys(TRANSITIONS),
      help: "only those in that state: created, running, stopped, error",
    },
    { name: "label", short: "l", value: "K=V", repeat: true, help: "only those with that label" },
    ...COMMON_OPTIONS,
  ],
  exit: "plain",
  notes: ["With --quiet only the names, one a line."],
  examples: ["smolvm ls", "smolvm ls --state running --label team=web", "smolvm rm -f $(smolvm ls -q)"],
};

async function lsCommand(io: Io, args: Arguments): Promise<Outcome> {
  const filter: ListFilter = {
    ...(args.value("state") === undefined ? {} : { state: parseState(args.value("state")!) }),
    labels: parseLabels(args.values("label")),
  };
  if (io.json) return { data: await SmolVM.list(filter) };
  const listed = await listBriefly(filter);
  return {
    data: undefined,
    text: () =>
      io.quiet ? listed.vms.map(({ name }) => `${name}\n`).join("") : sandboxTable(listed, Date.now()),
  };
}

function parseState(text: string): VmState {
  const states = Object.keys(TRANSITIONS) as VmState[];
  const state = states.find((known) => known === text);
  if (state) return state;
  const near = nearest(text, states);
  throw new SmolVMError("USAGE", `--state: '${text}' is not a state`, {
    hint: near ? `Did you mean --state ${near}?` : `States: ${states.join(", ")}`,
  });
}

/** The table of sandboxes. `now`: ms since the epoch. Pure. */
function sandboxTable({ vms, ports }: BriefList, now: number): string {
  return renderTable(
    [
      { head: "NAME" },
      { head: "STATE" },
      { head: "IMAGE" },
      { head: "BACKEND" },
      { head: "UPTIME", align: "right" },
      { head: "MEMORY", align: "right" },
      { head: "PORTS" },
    ],
    vms.map((vm) => [
      vm.name,
      vm.state,
      vm.image || "custom",
      vm.backend,
      vm.state === "running" && vm.startedAt !== null ? formatUptime(Math.max(0, now - vm.startedAt)) : "-",
      formatMib(vm.memSizeMib),
      ports.get(vm.id)?.map(formatPort).join(", ") || "-",
    ]),
  );
}

export const ls: Command = { spec, run: lsCommand };
