import { type Check, invalidOption, oneOf, record, requireOption, text } from "../../config/checks.ts";
import type { PortRecord } from "../../store/ports.ts";
import { TRANSITIONS } from "../../store/states.ts";
import type { ListFilter, VmBrief } from "../../store/vms.ts";
import { jsonProblem } from "../../util/json.ts";
import { monotonicMs } from "../../util/monotonic.ts";
import { type Home, openHome } from "../home.ts";
import { recoverAll } from "../recovery/recover.ts";
import { hostState } from "./host-state.ts";
import { describe, type VMInfo } from "./info.ts";

/** Sandboxes, and the ports that lead into them: by id, for those that have any. */
export interface BriefList {
  readonly vms: readonly VmBrief[];
  readonly ports: ReadonlyMap<string, readonly PortRecord[]>;
}

/** Sandboxes of the home, oldest first, in the state that they really are in. */
export async function listSandboxes(home: Home, filter: ListFilter): Promise<VMInfo[]> {
  checkFilter(filter);
  await settle(home);
  const host = hostState(home);
  const ports = home.store.ports.byVm();
  return home.store.vms
    .list(filter)
    .map((record) => describe(record, { ...host, ports: ports.get(record.id) ?? [] }));
}

/** {@link listSandboxes} with only what a table shows: a thousand of them cost little more than one. */
export async function listBriefly(filter: ListFilter): Promise<BriefList> {
  const home = openHome();
  await settle(home);
  return { vms: home.store.vms.listBriefly(filter), ports: home.store.ports.byVm() };
}

/** How long what is being removed is waited for: mostly it takes some milliseconds (`behind` of a deletion). */
const GONE_WITHIN_MS = 500;
const LOOK_AGAIN_MS = 5;

async function settle(home: Home): Promise<void> {
  await recoverAll(home);
  const until = monotonicMs() + GONE_WITHIN_MS;
  while (home.store.vms.listBriefly({ state: "deleting" }).length > 0 && monotonicMs() < until)
    await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
}

const FILTER: Record<keyof ListFilter, Check> = {
  state: oneOf(...Object.keys(TRANSITIONS)),
  labels: record(text, (value) => jsonProblem(value)),
  key: text,
  pool: text,
};

/** @throws SmolVMError CONFIG_INVALID: a filter that is not understood would list too much */
function checkFilter(filter: ListFilter): void {
  if (typeof filter !== "object" || filter === null || Array.isArray(filter))
    throw invalidOption("filter", filter, "is not an object");
  for (const [name, value] of Object.entries(filter)) {
    if (!Object.hasOwn(FILTER, name)) throw invalidOption("filter", filter, `has the unknown key '${name}'`);
    if (value !== undefined) requireOption(name, value, FILTER[name as keyof ListFilter]);
  }
}
