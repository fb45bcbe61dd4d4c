/** What a user has beside sandboxes: `SmolVM.snapshots` and `SmolVM.pools`. Nothing but joining. */
import type { Pools, Snapshots } from "./types.ts";
import { checkNames } from "./util/check-names.ts";
import { Deadline } from "./util/deadline.ts";
import { openHome } from "./vm/home.ts";

export const snapshots: Snapshots = {
  list: async () => (await import("./vm/snapshots/manage.ts")).allSnapshots(openHome()),
  get: async (name) => (await import("./vm/snapshots/manage.ts")).oneSnapshot(openHome(), name),
  delete: async (name) => (await import("./vm/snapshots/manage.ts")).deleteSnapshot(openHome(), name),
  export: async (name, path, limits) => {
    const { exportSnapshot } = await import("./vm/snapshots/export.ts");
    await exportSnapshot(openHome(), name, path, Deadline.of(`exporting snapshot '${name}'`, limits));
  },
  import: async (path, options = {}) => {
    const { importSnapshot } = await import("./vm/snapshots/import.ts");
    const { oneSnapshot } = await import("./vm/snapshots/manage.ts");
    checkNames(options, ["name", "trust", "timeoutMs", "signal"]);
    const { name, trust = false, ...limits } = options;
    const deadline = Deadline.of(`taking in '${path}'`, limits);
    const home = openHome();
    const { manifest } = await importSnapshot(home, path, { name, trust }, deadline);
    return oneSnapshot(home, manifest.name);
  },
};

export const pools: Pools = {
  create: async ({ timeoutMs, signal, ...options }) => {
    const { createPool } = await import("./vm/pool/manage.ts");
    return createPool(openHome(), options, Deadline.of("making a pool", { timeoutMs, signal }));
  },
  list: async () => (await import("./vm/pool/manage.ts")).listPools(openHome()),
  delete: async (name) => (await import("./vm/pool/manage.ts")).removePool(openHome(), name),
};
