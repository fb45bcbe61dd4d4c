import { BACKEND_FEATURES } from "../backends/features.ts";
import type { LeastIsolation, MachineSpec } from "../config/spec.ts";
import { readEnvironment } from "../host/environment.ts";
import { isolationFacts } from "../isolation/facts.ts";
import { type ChosenIsolation, chooseIsolation } from "../isolation/tier.ts";
import type { Home } from "./home.ts";

/**
 * What is put around the VMM of a machine on this host as it is now.
 * @throws SmolVMError ISOLATION_UNAVAILABLE
 */
export async function isolationFor(
  home: Home,
  machine: MachineSpec,
  least: LeastIsolation = "auto",
): Promise<ChosenIsolation> {
  const { path } = readEnvironment(process.env);
  const facts = await isolationFacts({ cacheDir: home.paths.cacheDir, path });
  return chooseIsolation(facts, {
    least,
    readsProc: BACKEND_FEATURES[machine.backend].readsProc,
    relayed: machine.transport === "tcp",
  });
}
