import { isAbsolute, posix } from "node:path";
import { SmolVMError } from "../errors.ts";
import { checkCommandLimits } from "../util/command-limits.ts";
import { mayBeHost } from "../util/host-name.ts";
import { isListenAddress } from "../util/ip-address.ts";
import { nearest } from "../util/nearest.ts";
import { portClash } from "../util/port-clash.ts";
import { shown } from "../util/shown.ts";
import {
  all,
  anyText,
  type Check,
  functionValue,
  invalidOption,
  matching,
  oneOf,
  requireOption,
  text,
  wholeNumber,
} from "./checks.ts";
import { DEFAULT_MEM_SIZE_MIB } from "./defaults.ts";
import { checkEnv } from "./env.ts";
import { checkLabels } from "./labels.ts";
import { checkMounts } from "./mounts.ts";
import { checkRules, MAX_RULES, type NetworkPolicy } from "./network-rules.ts";
import type { ExtraDrive, PortForward, VMConfig } from "./options.ts";
import type { BringPort } from "./spec.ts";

/** Names of sandboxes: 1 to 64 of a-z, 0-9, `-` and `_`, beginning and ending with a letter or digit. */
export const NAME_PATTERN: RegExp = /^[a-z0-9](?:[a-z0-9_-]{0,62}[a-z0-9])?$/;
const HOSTNAME_PATTERN = /^[A-Za-z0-9](?:[A-Za-z0-9.-]{0,62}[A-Za-z0-9])?$/;

/** A second: a sandbox that lives shorter could not be booted. */
const MIN_TTL_MS = 1_000;
/** A hundred years: what is meant to have no end has no `ttlMs`. */
const MAX_TTL_MS = 100 * 365 * 24 * 3_600_000;

/** A time to live, in ms. */
export const checkTtl: Check = wholeNumber(MIN_TTL_MS, MAX_TTL_MS);

const portNumber = wholeNumber(1, 65535);
const hostPath = all(text, (value) => (isAbsolute(value as string) ? undefined : "is not an absolute path"));
const guestPath = all(text, matching(/^\//, "is not an absolute path"));
const oneLine = all(anyText, matching(/^[^\r\n]*$/, "is more than one line"));

/** Command lines, of which a template can run so many. */
const MAX_WARM = 20;

function yesOrNo(value: unknown): string | undefined {
  return typeof value === "boolean" ? undefined : "is neither true nor false";
}

function checkWarm(value: unknown): string | undefined {
  if (!Array.isArray(value)) return "is not an array of command lines";
  if (value.length > MAX_WARM) return `has more than ${MAX_WARM} command lines`;
  for (const line of value) {
    const problem = text(line);
    if (problem !== undefined) return `has a command line that ${problem}`;
  }
  return undefined;
}

const CHECKS: Record<keyof VMConfig, Check> = {
  name: matching(
    NAME_PATTERN,
    "is not a name: 1 to 64 of a-z, 0-9, - and _, beginning and ending with a letter or digit",
  ),
  backend: (value) => (typeof value === "string" ? undefined : "is not a string"),
  image: text,
  pull: oneOf("missing", "always", "never"),
  arch: oneOf("x86_64", "aarch64"),
  vcpuCount: wholeNumber(1, 32),
  memSizeMib: wholeNumber(128, 16384),
  diskSizeMib: wholeNumber(64, 1048576),
  diskMode: oneOf("isolated", "shared"),
  extraDrives: checkDrives,
  env: checkEnv,
  workdir: guestPath,
  user: text,
  limits: checkCommandLimits,
  hostname: matching(HOSTNAME_PATTERN, "is not a host name of at most 64 characters"),
  network: checkNetwork,
  networkRateLimitMbps: wholeNumber(1, 100_000),
  qemuNetwork: oneOf("slirp", "tap"),
  qemuMachine: oneOf("auto", "microvm", "q35"),
  accelerator: oneOf("auto", "kvm", "hvf", "whpx", "tcg"),
  isolation: oneOf("auto", "user", "jail"),
  template: oneOf("auto", "off"),
  warm: checkWarm,
  kernel: oneOf("auto", "debian", "fast"),
  kernelPath: hostPath,
  initrdPath: hostPath,
  rootfsPath: hostPath,
  bootArgs: oneLine,
  gdbPort: portNumber,
  ports: checkPorts,
  publishAll: yesOrNo,
  init: oneOf("image"),
  bring: checkBring,
  mounts: checkMounts,
  labels: checkLabels,
  ttlMs: checkTtl,
  autoStart: yesOrNo,
  lifetime: oneOf("owner", "detached"),
  onProgress: functionValue,
};

/** Options of the design that later versions bring: named, so that nobody wonders whether they were ignored. */
const NOT_BUILT: Record<string, string> = {
  os: "guests are Linux",
};

/**
 * Checks what a user asked for and returns it as a VMConfig.
 * @throws SmolVMError CONFIG_INVALID naming the option, what was given and what is accepted; NOT_SUPPORTED for what later versions bring
 */
export function parseConfig(input: unknown = {}): VMConfig {
  if (typeof input !== "object" || input === null || Array.isArray(input)) {
    throw invalidOption("options", input, "is not an object");
  }
  for (const [option, value] of Object.entries(input)) {
    if (!Object.hasOwn(CHECKS, option)) throw unknownOption(option);
    if (value === undefined) continue;
    if (option === "network") refuseLater(value);
    const check = CHECKS[option as keyof VMConfig];
    const problem = check(value);
    if (problem)
      throw invalidOption(option, option === "env" ? namesOf(value) : value, problem, check.accepts);
  }
  const config = input as VMConfig;
  checkTogether(config);
  return config;
}

/** What each option for itself cannot tell. @throws SmolVMError CONFIG_INVALID */
function checkTogether(config: VMConfig): void {
  const { kernel, kernelPath, diskMode, diskSizeMib, rootfsPath, network, qemuNetwork } = config;
  const { limits, memSizeMib, networkRateLimitMbps } = config;
  const mode = typeof network === "object" ? network.mode : network;
  if (qemuNetwork !== undefined && (mode === "off" || mode === "restricted"))
    throw invalidOption(
      "qemuNetwork",
      qemuNetwork,
      `is not for network "${mode}": there is no network card then`,
    );
  if (networkRateLimitMbps !== undefined && (mode === "off" || isUnfiltered(network)))
    throw invalidOption(
      "networkRateLimitMbps",
      networkRateLimitMbps,
      mode === "off" ? "is for a network, and there is none" : "cannot be kept by an unfiltered network",
    );
  if (qemuNetwork === "tap" && isUnfiltered(network))
    throw invalidOption("network", network, "is unfiltered, and a tap never is: use qemuNetwork slirp");
  if (kernel !== undefined && kernelPath !== undefined)
    throw invalidOption("kernel", kernel, "excludes kernelPath: give one of them");
  if (limits?.memoryMib !== undefined && limits.memoryMib > (memSizeMib ?? DEFAULT_MEM_SIZE_MIB))
    throw invalidOption("limits", limits, "has a memoryMib that is more than the sandbox's memSizeMib");
  if (diskMode !== "shared") return;
  if (rootfsPath === undefined)
    throw invalidOption(
      "diskMode",
      diskMode,
      "needs a rootfsPath, the image that is to be written: images of the store are shared by all and never are",
    );
  if (diskSizeMib !== undefined)
    throw invalidOption(
      "diskSizeMib",
      diskSizeMib,
      'is not for diskMode "shared": rootfsPath is the disk, as large as it is',
    );
}

/** Values of variables may be secrets: an error, which is logged, has their names alone. */
function namesOf(value: unknown): unknown {
  return typeof value === "object" && value !== null ? Object.keys(value) : typeof value;
}

/** The same check for a gdbPort that is given for one start. @throws SmolVMError CONFIG_INVALID */
export function requireGdbPort(value: number): void {
  requireOption("gdbPort", value, portNumber);
}

function unknownOption(option: string): SmolVMError {
  const later = Object.hasOwn(NOT_BUILT, option) ? NOT_BUILT[option] : undefined;
  if (later) {
    return new SmolVMError("NOT_SUPPORTED", `the option '${option}' is not built yet: ${later}`, {
      details: { option },
    });
  }
  const known = nearest(option, Object.keys(CHECKS));
  return new SmolVMError("CONFIG_INVALID", `unknown option '${option}'`, {
    hint: known ? `Did you mean '${known}'?` : `Known options: ${Object.keys(CHECKS).join(", ")}.`,
    details: { option },
  });
}

/** Whether all that the host reaches was asked for. */
export function isUnfiltered(network: VMConfig["network"]): boolean {
  return typeof network === "object" && network.unfiltered === true;
}

/** What of a network's options later versions bring. */
const NETWORK_LATER: Readonly<Record<string, string>> = {
  secrets: "putting secrets into requests on their way",
  headers: "rules for the headers of requests",
  tls: "looking into TLS",
};

/** @throws SmolVMError NOT_SUPPORTED */
function refuseLater(network: unknown): void {
  if (typeof network !== "object" || network === null) return;
  const later = Object.keys(network).find((key) => Object.hasOwn(NETWORK_LATER, key));
  if (later === undefined) return;
  throw new SmolVMError("NOT_SUPPORTED", `network.${later} is not built yet: ${NETWORK_LATER[later]}`, {
    hint: 'A restricted network has the rules allow and deny: network: { mode: "restricted", allow: ["example.com"] }',
    details: { option: "network" },
  });
}

const networkMode = oneOf("open", "restricted", "off");

function checkNetwork(value: unknown): string | undefined {
  if (typeof value !== "object" || value === null) return networkMode(value);
  const { mode, unfiltered, ...rules } = value as { mode?: unknown; unfiltered?: unknown };
  const extra = Object.keys(rules).find((key) => key !== "allow" && key !== "deny");
  if (extra) return `has the unknown key '${extra}'`;
  const problem = networkMode(mode);
  if (problem !== undefined) return `has a mode that ${problem}`;
  if (unfiltered !== undefined && typeof unfiltered !== "boolean")
    return "has an 'unfiltered' that is neither true nor false";
  if (unfiltered && mode !== "open") return "has an 'unfiltered' that is for the mode \"open\" alone";
  for (const [key, list] of Object.entries(rules)) {
    if (list === undefined) continue;
    if (mode !== "restricted") return `has '${key}', which is for the mode restricted`;
    const wrong = checkRules(list);
    if (wrong !== undefined) return `has '${key}', which ${wrong}`;
  }
  const { allow = [], deny = [] } = rules as Partial<NetworkPolicy>;
  return allow.length + deny.length > MAX_RULES ? `has more than ${MAX_RULES} rules` : undefined;
}

/** As many as the machine microvm has room for beside its other devices, and more than anybody asked for. */
const MAX_DRIVES = 8;

function checkDrives(value: unknown): string | undefined {
  if (!Array.isArray(value)) return "is not an array";
  if (value.length > MAX_DRIVES) return `has more than ${MAX_DRIVES} entries`;
  const places = new Set<string>();
  for (const drive of value as ExtraDrive[]) {
    if (typeof drive !== "object" || drive === null) return "has an entry that is not an object";
    const unknown = Object.keys(drive).find((key) => !["path", "readOnly", "mountAt"].includes(key));
    if (unknown) return `has an entry with the unknown key '${unknown}'`;
    const problem = hostPath(drive.path);
    if (problem) return `has a path that ${problem}`;
    if (drive.readOnly !== undefined && typeof drive.readOnly !== "boolean")
      return "has a readOnly that is neither true nor false";
    if (drive.mountAt === undefined) continue;
    const wrong = guestPath(drive.mountAt);
    if (wrong) return `has a mountAt that ${wrong}`;
    const place = posix.normalize(`${drive.mountAt}/`);
    if (place === "/") return "has a mountAt that is the root";
    if (places.has(place)) return `mounts two drives at '${drive.mountAt}'`;
    places.add(place);
  }
  return undefined;
}

function checkPorts(value: unknown): string | undefined {
  if (!Array.isArray(value)) return "is not an array";
  if (value.length > 64) return "has more than 64 entries";
  for (const forward of value as PortForward[]) {
    if (typeof forward !== "object" || forward === null) return "has an entry that is not an object";
    for (const key of Object.keys(forward)) {
      if (!["guestPort", "hostPort", "hostAddress"].includes(key))
        return `has an entry with the unknown key '${key}'`;
    }
    const problem =
      portNumber(forward.guestPort) ??
      (forward.hostPort === undefined ? undefined : portNumber(forward.hostPort));
    if (problem) return `has a port that ${problem}`;
    const { hostAddress } = forward;
    if (hostAddress !== undefined && (text(hostAddress) !== undefined || !isListenAddress(hostAddress)))
      return "has an entry whose host address is no IP address";
  }
  const forwards = value as PortForward[];
  const clash = portClash(forwards);
  if (clash === undefined) return undefined;
  const { guestPort, hostPort } = forwards[clash.at[1]]!;
  return clash.of === "host" ? `uses host port ${hostPort} twice` : `forwards guest port ${guestPort} twice`;
}

function checkBring(value: unknown): string | undefined {
  if (!Array.isArray(value)) return "is not a list";
  if (value.length > 64) return "has more than 64 entries";
  const guest = new Set<number>();
  for (const entry of value as BringPort[]) {
    if (typeof entry !== "object" || entry === null) return "has an entry that is not an object";
    for (const key of Object.keys(entry))
      if (!["guestPort", "host", "port"].includes(key)) return `has an entry with the unknown key '${key}'`;
    const problem = portNumber(entry.guestPort) ?? portNumber(entry.port);
    if (problem) return `has a port that ${problem}`;
    const { host } = entry;
    if (host !== undefined && !(typeof host === "string" && mayBeHost(host)))
      return `has an entry whose host ${shown(host)} is neither a name nor an address`;
    if (guest.has(entry.guestPort)) return `uses guest port ${entry.guestPort} twice`;
    guest.add(entry.guestPort);
  }
  return undefined;
}
