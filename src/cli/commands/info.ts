import type { CommandLimits, HealthCheck } from "../../config/spec.ts";
import { SmolVM } from "../../smolvm.ts";
import type { VMInfo } from "../../vm/info/info.ts";
import { COMMON_OPTIONS } from "../args/options.ts";
import type { Arguments } from "../arguments.ts";
import type { Command, CommandSpec, Outcome } from "../command.ts";
import { forEachName } from "../each.ts";
import type { Io } from "../io.ts";
import { renderFields } from "../render/table.ts";
import { formatMib, formatPort, formatUptime } from "../render/units.ts";

const spec: CommandSpec = {
  name: "info",
  usage: "[OPTIONS] NAME...",
  operands: { min: 1, max: Number.POSITIVE_INFINITY, what: "the sandbox's name", complete: "sandboxes" },
  options: COMMON_OPTIONS,
  exit: "plain",
  notes: ["With --json and one name `data` is an object, with more an array."],
  examples: ["smolvm info box", "smolvm info --json box"],
};

async function infoCommand(io: Io, args: Arguments): Promise<Outcome> {
  const infos = await forEachName(args.operands, async (name) => await (await SmolVM.get(name)).info());
  return {
    data: infos.length === 1 ? infos[0] : infos,
    text: () => infos.map((info) => sandboxFields(info, io.stdout.columns)).join("\n"),
  };
}

const STARTED_FROM: Readonly<Record<NonNullable<VMInfo["startedFrom"]>, string>> = {
  boot: "",
  template: ", from a template",
  snapshot: ", from a snapshot",
  fork: ", as a fork",
};

/** Everything about one sandbox, a line each; long ones in a terminal of `columns` go on below. Pure. */
export function sandboxFields(info: VMInfo, columns?: number): string {
  const labels = Object.entries(info.labels).map(
    ([name, value]) => `${name}=${typeof value === "string" ? value : JSON.stringify(value)}`,
  );
  const limit = info.network.rateLimitMbps;
  const fields: [string, string | undefined][] = [
    ["name", info.name],
    ["id", info.id],
    ["state", info.state],
    ["warning", info.warning],
    ["error", info.error && `${info.error.message} (${info.error.code})`],
    [
      "image",
      info.imageDigest === undefined ? info.image : `${info.image} (${info.imageDigest.slice(0, 12)})`,
    ],
    ["image's command", info.imageCommand?.join(" ")],
    ["image's ports", info.imagePorts.length === 0 ? undefined : info.imagePorts.join(" ")],
    ["health check", info.healthCheck && healthCheckText(info.healthCheck)],
    ["stop signal", info.stopSignal],
    ["init", info.init ? "the image's own" : undefined],
    ["kernel", info.kernel],
    ["backend", `${info.backend}, ${info.machine} machine, ${info.arch}`],
    ["program", info.program],
    [
      "accelerator",
      `${info.accelerator} (${info.speed === "hardware" ? "hardware virtualization" : "emulated"})`,
    ],
    ["isolation", isolationText(info.isolation)],
    ["commands", commandsText(info.commands)],
    ["cpus", String(info.vcpuCount)],
    ["memory", formatMib(info.memSizeMib)],
    [
      "disk",
      `${formatMib(info.diskSizeMib)}${info.diskMode === "shared" ? ", the root file system itself" : ""}`,
    ],
    ...info.drives.map(({ path, readOnly, device, mountAt }): [string, string] => [
      "drive",
      `${path}${readOnly ? " (read-only)" : ""} -> ${device}${mountAt === undefined ? "" : `, mounted at ${mountAt}`}`,
    ]),
    ...info.mounts.map(({ host, guest, mode }): [string, string] => [
      "mount",
      `${host} -> ${guest} (${mode})`,
    ]),
    ["gdb", info.gdbPort === undefined ? undefined : `127.0.0.1:${info.gdbPort}`],
    ["network", networkText(info.network)],
    ["allowed", rulesText(info.network.rules?.allow, "nothing")],
    ["denied", rulesText(info.network.rules?.deny, undefined)],
    ["rate limit", limit === undefined ? undefined : `${limit} Mbit/s in each direction`],
    ["tap", info.network.tap],
    [
      "brought",
      info.brought.length === 0
        ? undefined
        : info.brought.map(({ guestPort, host, port }) => `${host}:${port} at ${guestPort}`).join(", "),
    ],
    ["ports", info.ports.length === 0 ? undefined : info.ports.map(formatPort).join(", ")],
    ["hostname", info.hostname],
    ["lifetime", info.autoStart ? `${info.lifetime}, starts by itself when it is needed` : info.lifetime],
    ["key", info.key],
    ["labels", labels.length === 0 ? undefined : labels.join(", ")],
    ["created", info.createdAt],
    ["started", info.startedAt && `${info.startedAt}${STARTED_FROM[info.startedFrom ?? "boot"]}`],
    ["origin", info.origin],
    ["waits in", info.pool && `pool ${info.pool}`],
    ["uptime", info.uptimeMs === undefined ? undefined : formatUptime(info.uptimeMs)],
    ["removed at", info.expiresAt],
    ["pid", info.pid === undefined ? undefined : String(info.pid)],
  ];
  return renderFields(fields, columns);
}

/** How an image checks itself, for people. Pure. */
export function healthCheckText({
  command,
  intervalMs,
  timeoutMs,
  startPeriodMs,
  retries,
}: HealthCheck): string {
  const times = [
    ...(intervalMs === undefined ? [] : [`every ${intervalMs / 1000} s`]),
    ...(timeoutMs === undefined ? [] : [`at most ${timeoutMs / 1000} s`]),
    ...(startPeriodMs === undefined ? [] : [`after ${startPeriodMs / 1000} s`]),
    ...(retries === undefined ? [] : [`${retries} times`]),
  ];
  const text = typeof command === "string" ? command : command.join(" ");
  return times.length === 0 ? text : `${text} (${times.join(", ")})`;
}

/** What the network reaches, and why it is not kept from the rest by the better way. Pure. */
function networkText({ mode, note, whyNotNext }: VMInfo["network"]): string {
  return `${mode}: ${note}${whyNotNext === undefined ? "" : `; not better, because ${whyNotNext}`}`;
}

/** So many rules are shown. */
const SHOWN_RULES = 8;

/** Rules in a line. Pure. */
function rulesText(rules: readonly string[] | undefined, none: string | undefined): string | undefined {
  if (rules === undefined) return undefined;
  const rest = rules.length - SHOWN_RULES;
  const shown = rules.slice(0, SHOWN_RULES).join(", ");
  return rest > 0 ? `${shown} and ${rest} more (smolvm network rules)` : shown || none;
}

/** What commands may take of the sandbox, and what the guest's kernel lacks for limiting them. Pure. */
export function commandsText(share: VMInfo["commands"]): string | undefined {
  if (share === undefined) return undefined;
  const words = ({ pids, memoryMib }: CommandLimits): string =>
    [
      ...(pids === undefined ? [] : [`${pids} processes`]),
      ...(memoryMib === undefined ? [] : [`${formatMib(memoryMib)} of memory`]),
    ].join(" and ");
  const missing = ["cpu", "memory", "pids", "io"].filter((name) => !share.controllers.includes(name));
  const all = words(share.all);
  return [
    all === "" ? "not limited" : `together at most ${all}, each ${words(share.each)}`,
    ...(missing.length === 0 ? [] : [`the guest's kernel has no cgroup controller ${missing.join(", ")}`]),
  ].join("; ");
}

function isolationText({
  least,
  tier,
  note,
  limits,
  whyNotNext,
  whyNotLimited,
}: VMInfo["isolation"]): string {
  const text = tier === undefined ? note : `${tier}: ${note}`;
  return [
    least === "auto" ? text : `${text} (at least ${least})`,
    ...(whyNotNext === undefined ? [] : [`not more, because ${whyNotNext}`]),
    ...(whyNotLimited === undefined
      ? []
      : [`${limits === undefined ? "no limits" : "not all limits"}, because ${whyNotLimited}`]),
  ].join("; ");
}

export const info: Command = { spec, run: infoCommand };
