import { join } from "node:path";
import { dropBallast } from "./ballast.ts";
import { checkDatabase, openDatabase, transaction } from "./database.ts";
import { ForwardTable } from "./forwards.ts";
import { ChannelLeases } from "./leases.ts";
import { PoolTable } from "./pools.ts";
import { PortTable } from "./ports.ts";
import { SupervisorTable } from "./supervisor.ts";
import { TapLeases } from "./taps.ts";
import { UidLeases } from "./uids.ts";
import { VmTable } from "./vms.ts";

/** The store of one home directory. */
export interface Store {
  readonly vms: VmTable;
  readonly leases: ChannelLeases;
  readonly taps: TapLeases;
  readonly uids: UidLeases;
  readonly ports: PortTable;
  readonly pools: PoolTable;
  readonly forwards: ForwardTable;
  readonly supervisor: SupervisorTable;
  /** runs `act` while no other process does so, or writes to the store */
  exclusively<T>(act: () => T): T;
  /** gives up the ballast (ballast.ts): only for what frees more room than it takes */
  makeRoom(): void;
  close(): void;
}

/** File of the store under `dataDir`. */
export function storePath(dataDir: string): string {
  return join(dataDir, "store.db");
}

/**
 * Reads the whole store and tells how many sandboxes it lists.
 * @throws SmolVMError STORE_INVALID, HOST_FAILED
 */
export function checkStore(dataDir: string): number {
  const database = openDatabase(storePath(dataDir));
  try {
    return checkDatabase(database, storePath(dataDir));
  } finally {
    database.close();
  }
}

/** Opens (or makes) the store under `dataDir`. @throws SmolVMError STORE_INVALID, HOST_FAILED */
export function openStore(dataDir: string): Store {
  const path = storePath(dataDir);
  const database = openDatabase(path);
  return {
    vms: new VmTable(database),
    leases: new ChannelLeases(database),
    taps: new TapLeases(database),
    uids: new UidLeases(database),
    ports: new PortTable(database),
    pools: new PoolTable(database),
    forwards: new ForwardTable(database),
    supervisor: new SupervisorTable(database),
    exclusively: (act) => transaction(database, act),
    makeRoom: () => dropBallast(path),
    close: () => database.close(),
  };
}
