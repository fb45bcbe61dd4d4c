import { readFileSync } from "node:fs";
import { processHost } from "../../backends/host.ts";
import { backendOf } from "../../backends/registry.ts";
import type { MachineSpec } from "../../config/spec.ts";
import { SmolVMError } from "../../errors.ts";
import { inWords } from "../../isolation/tier.ts";
import {
  doorReason,
  planUserNetwork,
  type UserNetworkPlan,
  type UserNetworkWants,
} from "../../network/user-network.ts";

/**
 * How the user-mode network of a machine that is being started is filtered; undefined: it has none.
 * @throws SmolVMError NETWORK_SETUP_MISSING
 */
export async function userNetworkFor(
  machine: MachineSpec,
  wants: Pick<UserNetworkWants, "rateLimitMbps" | "savedWithSlirp">,
): Promise<UserNetworkPlan | undefined> {
  if (machine.backend !== "qemu" || machine.network !== "open" || machine.networkCard === "tap")
    return undefined;
  const host = processHost();
  return await planUserNetwork(host, {
    ...machine,
    program: backendOf(machine.backend, host).program(machine),
    ...wants,
  });
}

/**
 * Why a new sandbox whose network is to be open, and QEMU's, has the door of a restricted one, in words; undefined: it has the user-mode network.
 */
export async function doorInstead(
  wants: Pick<UserNetworkWants, "gdbPort" | "transport" | "rateLimitMbps">,
): Promise<string | undefined> {
  const reason = await doorReason(processHost(), wants);
  return reason && inWords(reason);
}

/**
 * That what filters within a VMM is there, and not passed over by its dynamic linker.
 * @param pid the VMM's process
 * @throws SmolVMError NETWORK_SETUP_MISSING
 */
export function requireLoaded({ preload }: UserNetworkPlan, pid: number): void {
  if (preload === undefined || mapsOf(pid).includes(preload.library)) return;
  throw new SmolVMError("NETWORK_SETUP_MISSING", "QEMU was started without the filter of its network", {
    hint: 'Use network: "off"; or, for code that you trust, network: {mode: "open", unfiltered: true}.',
    details: { library: preload.library },
  });
}

/** The files that a process has mapped; "" where that cannot be seen. */
function mapsOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/maps`, "utf8");
  } catch {
    return "";
  }
}
