import { BACKEND_FEATURES } from "../../backends/features.ts";
import { jailRefusal } from "../../backends/firecracker/jail-refusal.ts";
import { processHost } from "../../backends/host.ts";
import { ownUidRefusal } from "../../backends/own-uid.ts";
import type { LeastIsolation, MachineSpec } from "../../config/spec.ts";
import type { VmFiles } from "../../host/files/filenames.ts";
import { isolationFacts } from "../../isolation/facts.ts";
import { chooseIsolation, type EnclosurePlan } from "../../isolation/tier.ts";
import type { Home } from "../home.ts";
import { isOurs } from "./make-enclosure.ts";

/**
 * What is to be put around the VMM of a machine on this host as it is now.
 * @throws SmolVMError ISOLATION_UNAVAILABLE
 */
export async function planIsolation(
  home: Home,
  machine: MachineSpec,
  files: VmFiles,
  least: LeastIsolation = "auto",
): Promise<EnclosurePlan> {
  const host = processHost();
  const facts = await isolationFacts(host);
  const ownUid = "bubblewrap" in facts.ownUid; // only for root
  const noJail = ownUid ? jailRefusal(machine, host, home.paths.dataDir) : undefined;
  const jailed = facts.noLimits === undefined && noJail === undefined;
  return chooseIsolation(facts, {
    least,
    readsProc: BACKEND_FEATURES[machine.backend].readsProc,
    relayed: machine.transport === "tcp",
    noOwnUid: ownUid ? ownUidRefusal(machine, files, (path) => isOurs(home, path), jailed) : undefined,
    noJail,
  });
}
