import { DEFAULT_IMAGE, DEFAULT_MEM_SIZE_MIB } from "../../config/defaults.ts";
import type { VMConfig } from "../../config/options.ts";
import { SmolVMError } from "../../errors.ts";
import type { PoolRecord } from "../../store/pools.ts";
import type { VmFault } from "../../store/vms.ts";
import { Deadline } from "../../util/deadline.ts";
import { filesOf, type Home } from "../home.ts";
import { newId } from "../lifecycle/names.ts";
import { removeVm } from "../lifecycle/remove.ts";
import { resolveVm } from "../lifecycle/resolve.ts";
import { tellSupervisor } from "../supervisor/duties.ts";
import { ensureSupervisor } from "../supervisor/ensure.ts";
import { checkPoolConfig, checkPoolName, checkPoolSize } from "./options.ts";

const REMOVE_MS = 60_000;

/** What is known about a pool. */
export interface PoolInfo {
  readonly name: string;
  /** how many are to wait */
  readonly size: number;
  /** how many wait now */
  readonly ready: number;
  /** image reference */
  readonly image: string;
  readonly memSizeMib: number;
  /** ISO 8601 */
  readonly createdAt: string;
  /** the process that keeps it, and with which it ends; undefined: smolvm's supervisor */
  readonly keeper: number | undefined;
  /** why the last sandbox for it could not be made; undefined: it could */
  readonly failure: VmFault | undefined;
}

/**
 * Makes a pool that smolvm's supervisor keeps full from now on.
 * @throws SmolVMError POOL_EXISTS, CONFIG_INVALID, IMAGE_NOT_FOUND and what else is wrong with the options; NOT_SUPPORTED with SMOLVM_SUPERVISOR=off, HOST_FAILED, TIMEOUT, ABORTED
 */
export async function createPool(
  home: Home,
  { name, size, ...config }: VMConfig & { readonly name: string; readonly size: number },
  deadline: Deadline,
): Promise<PoolInfo> {
  checkPoolName(name);
  checkPoolSize(size);
  const { onProgress: _, ...kept } = checkPoolConfig(config);
  // Now, not when the first of them is made, where nobody hears it.
  await resolveVm(home, kept, { name: "pool", files: filesOf(home, newId()) }, deadline);
  home.store.pools.add({ name, size, config: kept }, false);
  try {
    await ensureSupervisor(home, deadline);
  } catch (error) {
    home.store.pools.remove(name);
    throw error;
  }
  await tellSupervisor(home);
  return describePool(home, home.store.pools.find(name)!);
}

/** All pools of a home, oldest first. */
export function listPools(home: Home): PoolInfo[] {
  return home.store.pools.list().map((pool) => describePool(home, pool));
}

/**
 * Removes a pool with those that wait in it; those that were taken stay. One that belongs to a living process is that one's to end.
 * @throws SmolVMError POOL_NOT_FOUND, VM_STATE
 */
export async function removePool(home: Home, name: string): Promise<void> {
  const pool = home.store.pools.find(name);
  if (pool?.keeper !== undefined && pool.keeper.pid !== process.pid) {
    throw new SmolVMError(
      "VM_STATE",
      `pool '${name}' belongs to process ${pool.keeper.pid}, and ends with it`,
      {
        hint: "Call drain() in that process, or end it.",
        details: { keeper: pool.keeper.pid },
      },
    );
  }
  if (!home.store.pools.remove(name)) {
    throw new SmolVMError("POOL_NOT_FOUND", `there is no pool '${name}'`, {
      hint: "List them: smolvm pool ls",
      details: { pool: name },
    });
  }
  await tellSupervisor(home); // it makes no more of them
  await removeMembers(home, name);
}

/** Removes what waits in a pool. */
export async function removeMembers(home: Home, pool: string): Promise<void> {
  const deadline = Deadline.within(REMOVE_MS, "removing a pool's sandboxes");
  await Promise.all(
    home.store.vms.waitingIn(pool).map(({ id }) => removeVm(home, id, { force: true }, deadline)),
  );
}

function describePool(home: Home, { name, size, config, createdAt, keeper, failure }: PoolRecord): PoolInfo {
  const { image = DEFAULT_IMAGE, memSizeMib = DEFAULT_MEM_SIZE_MIB } = config as VMConfig;
  return {
    name,
    size,
    ready: home.store.vms.readyIn(name).length,
    image,
    memSizeMib,
    createdAt: new Date(createdAt).toISOString(),
    keeper: keeper?.pid,
    failure,
  };
}
