/** What a user has beside sandboxes: `SmolVM.snapshots` and `SmolVM.pools`. Nothing but joining. */

import { requireOption, text } from "./config/checks.ts";
import type { Pools, Snapshots } from "./types.ts";
import { requireObject } from "./util/check-names.ts";
import { Deadline, limited } from "./util/deadline.ts";
import { openHome } from "./vm/home.ts";

export const snapshots: Snapshots = {
  list: async () => (await import("./vm/snapshots/manage.ts")).allSnapshots(openHome()),
  get: async (name) => (await import("./vm/snapshots/manage.ts")).oneSnapshot(openHome(), name),
  delete: async (name) => (await import("./vm/snapshots/manage.ts")).deleteSnapshot(openHome(), name),
  export: async (name, path, limits = {}) => {
    const { exportSnapshot } = await import("./vm/snapshots/export.ts");
    requireOption("name", name, text);
    requireOption("path", path, text);
    const deadline = Deadline.of(`exporting snapshot '${name}'`, limited(limits));
    await exportSnapshot(openHome(), name, path, deadline);
  },
  import: async (path, options = {}) => {
    const { importSnapshot } = await import("./vm/snapshots/import.ts");
    const { oneSnapshot } = await import("./vm/snapshots/manage.ts");
    requireOption("path", path, text);
    const { name, trust = false, ...limits } = limited(options, "name", "trust");
    const deadline = Deadline.of(`taking in '${path}'`, limits);
    const home = openHome();
    const { manifest } = await importSnapshot(home, path, { name, trust }, deadline);
    return oneSnapshot(home, manifest.name);
  },
};

export const pools: Pools = {
  create: async (given) => {
    const { timeoutMs, signal, ...options } = requireObject(given);
    const { createPool } = await import("./vm/pool/manage.ts");
    return createPool(openHome(), options, Deadline.of("making a pool", { timeoutMs, signal }));
  },
  list: async () => (await import("./vm/pool/manage.ts")).listPools(openHome()),
  delete: async (name) => {
    requireOption("name", name, text);
    await (await import("./vm/pool/manage.ts")).removePool(openHome(), name);
  },
};
