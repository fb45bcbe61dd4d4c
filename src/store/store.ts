import { join } from "node:path";
import { openDatabase } from "./database.ts";
import { ChannelLeases } from "./leases.ts";
import { VmTable } from "./vms.ts";

/** The store of one home directory. */
export interface Store {
  readonly vms: VmTable;
  readonly leases: ChannelLeases;
  close(): void;
}

/** Opens (or makes) the store under `dataDir`. @throws SmolVMError STORE_INVALID, HOST_FAILED */
export function openStore(dataDir: string): Store {
  const database = openDatabase(join(dataDir, "store.db"));
  return {
    vms: new VmTable(database),
    leases: new ChannelLeases(database),
    close: () => database.close(),
  };
}
