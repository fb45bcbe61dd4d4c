import type { PortRecord } from "../store/ports.ts";
import type { ListFilter, VmBrief } from "../store/vms.ts";
import { type Home, openHome } from "./home.ts";
import { hostState } from "./host-state.ts";
import { describe, type VMInfo } from "./info.ts";
import { recoverAll } from "./recover.ts";

/** Sandboxes, and the ports that lead into them: by id, for those that have any. */
export interface BriefList {
  readonly vms: readonly VmBrief[];
  readonly ports: ReadonlyMap<string, readonly PortRecord[]>;
}

/** Sandboxes of the home, oldest first, in the state that they really are in. */
export async function listSandboxes(home: Home, filter: ListFilter): Promise<VMInfo[]> {
  await recoverAll(home);
  const host = hostState(home);
  const ports = home.store.ports.byVm();
  return home.store.vms
    .list(filter)
    .map((record) => describe(record, { ...host, ports: ports.get(record.id) ?? [] }));
}

/** {@link listSandboxes} with only what a table shows: a thousand of them cost little more than one. */
export async function listBriefly(filter: ListFilter): Promise<BriefList> {
  const home = openHome();
  await recoverAll(home);
  return { vms: home.store.vms.listBriefly(filter), ports: home.store.ports.byVm() };
}
