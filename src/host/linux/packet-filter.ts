import { existsSync, readFileSync } from "node:fs";
import { SmolVMError } from "../../errors.ts";
import { Deadline } from "../../util/deadline.ts";
import { hasPackage, packagedScript } from "../package.ts";
import { findProgram, SYSTEM_DIRECTORIES } from "../process/find-program.ts";
import { runProgram } from "../process/run.ts";
import { setupCommand } from "../setup/setup-command.ts";

const TIMEOUT_MS = 10_000;
/** Lists the tables of taps. An earlier version's set-up made no second one. */
const LIST =
  '"$1" --stateless list table inet smolvm && { "$1" --stateless list table arp smolvm 2>/dev/null || true; }';
/** Prints the intended packet filter of the taps: scripts/setup/network, where the set-up puts it. */
const NETWORK = "/usr/local/lib/smolvm/network";

/** The packet filter that the set-up makes for taps, in nft's language. @throws SmolVMError NETWORK_SETUP_MISSING */
export async function tapRules(): Promise<string> {
  if (!existsSync(NETWORK))
    throw new SmolVMError("NETWORK_SETUP_MISSING", "no taps are set up on this machine", {
      hint: setupCommand(["--configure-runtime"]),
    });
  const { code, stdout, stderr } = await run([NETWORK, "rules"]);
  if (code === 0) return stdout;
  const problem = stderr.trim().replace(/^error: /, "");
  throw new SmolVMError("NETWORK_SETUP_MISSING", `the taps' rules cannot be made: ${problem}`, {
    hint: `Correct /etc/smolvm/runtime.conf, then: sudo ${NETWORK} up`,
  });
}

/** Whether the set-up was made by a version of smolvm that has the same taps and rules as this one; undefined: nobody can tell. */
export function isSetUpByThisVersion(): boolean | undefined {
  if (!hasPackage()) return undefined;
  try {
    return readFileSync(NETWORK, "utf8") === readFileSync(packagedScript("setup/network"), "utf8");
  } catch {
    return undefined;
  }
}

/** The tables of taps as they are now, as nft lists them; undefined: the one that filters what passes is missing. For root. */
export async function liveTapRules(): Promise<string | undefined> {
  const { code, stdout } = await run(["sh", "-c", LIST, "sh", nft()]);
  return code === 0 ? stdout : undefined;
}

/** What rules look like when nft lists them: they are loaded in a network of their own, and nothing else sees them. For root. */
export async function asListed(rules: string): Promise<string> {
  const script = `"$1" --file - && ${LIST}`;
  const { stdout } = await run(["unshare", "--net", "sh", "-c", script, "sh", nft()], rules, true);
  return stdout;
}

/** All packet filters of this host, as JSON (libnftables-json(5)). For root. */
export async function liveRuleset(): Promise<string> {
  return (await run([nft(), "--json", "list", "ruleset"], undefined, true)).stdout;
}

/** Whether IPv4 packets go from one of this host's interfaces to another. */
export function forwardsIpv4(): boolean {
  return readFileSync("/proc/sys/net/ipv4/ip_forward", "utf8").trim() === "1";
}

/** The host's IPv4 routes (proc(5), net/route). */
export function routeTable(): string {
  return readFileSync("/proc/net/route", "utf8");
}

function nft(): string {
  const path = findProgram("nft", process.env.PATH, SYSTEM_DIRECTORIES);
  if (path !== undefined) return path;
  throw new SmolVMError("DEPENDENCY_MISSING", "nft is not installed");
}

function run(argv: string[], stdin?: string, check = false): ReturnType<typeof runProgram> {
  const deadline = Deadline.within(TIMEOUT_MS, "looking at packet filters");
  return runProgram(argv, { deadline, check, ...(stdin === undefined ? {} : { stdin }) });
}
