import { isSmolVMError } from "../../errors.ts";
import {
  asListed,
  forwardsIpv4,
  isSetUpByThisVersion,
  liveRuleset,
  liveTapRules,
  routeTable,
  tapRules,
} from "../../host/linux/packet-filter.ts";
import { setupCommand } from "../../host/setup/setup-command.ts";
import { setupState } from "../../host/setup/setup-state.ts";
import { addressClashes, parseRoutes, routeText } from "../../network/address-clash.ts";
import { type Drift, drift } from "../../network/drift.ts";
import { otherFilters } from "../../network/other-filters.ts";
import { type Check, type CheckResult, fail, pass, warn } from "../check.ts";

const RELOAD = "sudo /usr/local/lib/smolvm/network up";
/** So many lines of a difference are shown. */
const SHOWN = 3;

/** Without it no packet of a tap goes anywhere. */
export const forwarding: Check = (context) =>
  withTaps(context, () => {
    const name = "Forwarding";
    if (forwardsIpv4()) return pass(name, "on");
    return fail(
      name,
      "off: what sandboxes with a tap send goes nowhere",
      "sudo sysctl -w net.ipv4.ip_forward=1",
    );
  });

/** Whether the taps' addresses are theirs alone. */
export const addressRange: Check = (context) =>
  withTaps(context, () => {
    const name = "Tap addresses";
    const subnet = setupState().runtime?.subnet ?? "";
    const clashes = addressClashes(subnet, parseRoutes(routeTable()));
    const range = `${subnet}.0.0/16`;
    const fix = `Stop sandboxes with taps, take another 'subnet' in /etc/smolvm/runtime.conf, then: ${RELOAD}`;
    const names = (kind: "taken" | "hidden"): string =>
      clashes
        .filter((clash) => clash.kind === kind)
        .map(({ route }) => routeText(route))
        .join(", ");
    if (names("taken") !== "")
      return fail(name, `${range} is used by another network too: ${names("taken")}`, fix);
    if (names("hidden") !== "")
      return warn(
        name,
        `${range} is a part of ${names("hidden")}, which is not reached from this machine`,
        fix,
      );
    return pass(name, range);
  });

/** Whether the packet filter is the one that is meant. */
export const packetFilter: Check = (context) =>
  withTaps(context, async () => {
    const name = "Packet filter";
    let wanted: string;
    try {
      wanted = await tapRules();
    } catch (error) {
      if (!isSmolVMError(error, "NETWORK_SETUP_MISSING")) throw error;
      return fail(name, error.message, error.hint);
    }
    if (context.root) {
      const live = await liveTapRules();
      if (live === undefined)
        return fail(name, "missing (flushed?): nothing keeps taps from anything", RELOAD);
      const difference = drift(await asListed(wanted), live);
      if (difference !== undefined)
        return fail(name, `not as it is meant: ${differenceText(difference)}`, RELOAD);
    }
    if (isSetUpByThisVersion() === false)
      return warn(
        name,
        "of another version of smolvm: what this one closes may be open",
        setupCommand(["--configure-runtime"]),
      );
    return pass(name, context.root ? "as it is meant" : `not readable by you; as root: ${ROOT_COMMAND}`);
  });

/** Whether other packet filters let the taps' packets through. */
export const otherPacketFilters: Check = (context) =>
  withTaps(context, async () => {
    const name = "Other packet filters";
    if (!context.root) return undefined; // only root sees them
    const found = otherFilters(await liveRuleset());
    if (found.length === 0) return pass(name, "none drops what sandboxes with a tap send");
    const all = found.map(({ whose, where }) => `${whose} (${where})`).join(", ");
    return fail(
      name,
      `drops what sandboxes with a tap send: ${all}`,
      found.map(({ fix }) => fix).join(" && "),
    );
  });

const ROOT_COMMAND = "sudo smolvm network check";

async function withTaps(
  { platform }: { readonly platform: NodeJS.Platform },
  act: () => CheckResult | undefined | Promise<CheckResult | undefined>,
): Promise<CheckResult | undefined> {
  return platform === "linux" && setupState().runtime !== undefined ? await act() : undefined;
}

function differenceText({ missing, added }: Drift): string {
  const all = [...missing.map((line) => `without '${line}'`), ...added.map((line) => `with '${line}'`)];
  const rest = all.length - SHOWN;
  const shown = all.slice(0, SHOWN).join("; ") || "its lines are in another order";
  return rest > 0 ? `${shown}; and ${rest} more` : shown;
}
