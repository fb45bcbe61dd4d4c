import { statSync } from "node:fs";
import { join } from "node:path";
import { isSmolVMError } from "../errors.ts";
import { cachedJson } from "../host/files/cached-json.ts";
import { explainRefusal, namespaceSettings } from "../host/linux/user-namespaces.ts";
import { type OwnNetwork, type OwnTap, ownNetworkArgs } from "../host/monitor/own-network.ts";
import { nativeProgram } from "../host/package.ts";
import { findProgram, SYSTEM_DIRECTORIES } from "../host/process/find-program.ts";
import { hostBootId } from "../host/process/process-identity.ts";
import { lastLines, runProgram } from "../host/process/run.ts";
import { installHint } from "../host/setup/install-hint.ts";
import { Deadline } from "../util/deadline.ts";
import { fileVersion, type IsolationHost, ownNamespaces } from "./facts.ts";
import type { Refusal } from "./tier.ts";

/** Slow hosts need far more than a second for a first start. */
const TRY_TIMEOUT_MS = 15_000;
/** Pasta opens it for its end of the network. */
const TUN = "/dev/net/tun";

/**
 * A name server's address within such a network that forwards DNS: the host's first one answers there, which may be on the host's loopback. Old versions of
 * pasta pass on what comes by UDP alone.
 */
export const RESOLVER: string = "169.254.1.1";

/** The network's own addresses, seen by nobody but the VMM's process. */
const ADDRESS = "10.0.3.2";
const GATEWAY = "10.0.3.1";
/** And the name of its way to the host's. */
const UPLINK = "uplink";

/** What it shall be like. */
export interface OwnNetworkWants {
  /** the packet filter, in nft's language */
  readonly rules: string;
  /** its set of this machine's own addresses: family, table and name */
  readonly ownSet: string;
  /** the host's name server answers at {@link RESOLVER} */
  readonly forwardsDns: boolean;
  /** a tap for the guest; absent: none */
  readonly tap?: OwnTap | undefined;
}

/** A network of its own for a VMM, or why there can be none here. */
export type OwnNetworkFound = { readonly network: OwnNetwork } | { readonly refusal: Refusal };

/**
 * What gives a VMM a network of its own on this host: tried once, whole, and kept for as long as nothing that decides it
 * changes. What did not work is tried again each time.
 */
export async function findOwnNetwork(
  host: IsolationHost,
  { rules, ownSet, forwardsDns, tap }: OwnNetworkWants,
): Promise<OwnNetworkFound> {
  const refuse = (reason: string, fix?: string): OwnNetworkFound => ({ refusal: { reason, fix } });
  if (process.platform !== "linux") return refuse("network namespaces are for Linux only");
  const monitor = nativeProgram("monitor");
  if (monitor === undefined)
    return refuse("smolvm's native monitor program is not built", "Build it: scripts/build-native.sh");
  const pasta = findProgram("pasta", host.env.path, SYSTEM_DIRECTORIES);
  if (pasta === undefined) return refuse("pasta is not installed", installHint("passt"));
  const nft = findProgram("nft", host.env.path, SYSTEM_DIRECTORIES);
  if (nft === undefined) return refuse("nft is not installed", installHint("nftables"));
  const connector = pastaArgs(pasta, process.getuid?.() === 0, forwardsDns);
  const network = { nft, rules, ownSet, connector, uplink: UPLINK, tap };
  try {
    const said = await tried(host, monitor, network, [monitor, pasta, nft]);
    return said === undefined ? { network } : { refusal: refusalFor(said) };
  } catch (error) {
    if (isSmolVMError(error)) return refuse(error.message, error.hint);
    throw error;
  }
}

/**
 * Pasta's arguments: it connects to what the network's process connects to, and forwards no port either way. Its own short
 * cuts to the host (the gateway's address as the host's loopback) are closed. Pure.
 */
export function pastaArgs(pasta: string, root: boolean, forwardsDns: boolean): string[] {
  return [
    pasta,
    ...["--foreground", "--quiet", "--config-net", "--no-map-gw", "--no-netns-quit", "--ipv4-only"],
    ...["--tcp-ports", "none", "--udp-ports", "none", "--tcp-ns", "none", "--udp-ns", "none"],
    ...["--ns-ifname", UPLINK, "--address", ADDRESS, "--netmask", "255.255.255.0", "--gateway", GATEWAY],
    // Where this is not asked for it must not be: answers of the host's name server would seem to come from there.
    ...(forwardsDns ? ["--dns-forward", RESOLVER] : []),
    // Else it becomes nobody, who may not enter root's namespaces. It gives up all of root's rights itself.
    ...(root ? ["--runas", "0"] : []),
  ];
}

/** What was said when it did not work; undefined: it does. */
async function tried(
  host: IsolationHost,
  monitor: string,
  network: OwnNetwork,
  programs: readonly string[],
): Promise<string | undefined> {
  const key = [
    ...programs.map(fileVersion),
    ...[process.getuid?.(), hostBootId(), tunVersion()],
    ...ownNamespaces(["mnt", "user", "pid", "net"]),
    ...namespaceSettings(),
  ].join(" ");
  const isTrue = (value: unknown): value is true => value === true;
  try {
    const kind =
      network.tap === undefined ? "" : network.tap.bytesPerSecond === undefined ? "-tap" : "-limited";
    await cachedJson(join(host.cacheDir, `own-network${kind}.json`), key, isTrue, async () => {
      const deadline = Deadline.within(TRY_TIMEOUT_MS, "trying a network namespace");
      const argv = [monitor, "network", ...ownNetworkArgs(network)];
      const { code, signal, stderr } = await runProgram(argv, { deadline, check: false });
      if (code === 0) return true;
      throw new Failed(lastLines(stderr, 3, 300) || `it ended with ${signal ?? code}`);
    });
    return undefined;
  } catch (error) {
    if (error instanceof Failed) return error.message;
    throw error;
  }
}

class Failed extends Error {}

function tunVersion(): string {
  const stat = statSync(TUN, { throwIfNoEntry: false });
  return stat === undefined ? "" : [stat.ino, stat.mode, stat.uid, stat.gid].join(" ");
}

function refusalFor(said: string): Refusal {
  if (/^usage: /m.test(said))
    return {
      reason: "the native monitor program is of another version than smolvm",
      fix: "In a checkout build it anew: scripts/build-native.sh. Else install the package again: npm install smolvm",
    };
  const sudo = process.getuid?.() === 0 ? "" : "sudo ";
  if (tunVersion() === "") return { reason: `${TUN} is missing`, fix: `${sudo}modprobe tun` };
  if (/tun socket/i.test(said)) return { reason: `${TUN} is closed to you`, fix: `${sudo}chmod 666 ${TUN}` };
  const known = explainRefusal();
  if (known.setting !== undefined) return { reason: `user namespaces are ${known.reason}`, fix: known.fix };
  return { reason: `a network namespace cannot be made and connected here: ${said.replaceAll("\n", "; ")}` };
}
