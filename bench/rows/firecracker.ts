import type { Setting } from "../setting.ts";
import type { Measurement } from "../stats.ts";
import { coldCreate } from "./cold-create.ts";
import { warmRunOfSession } from "./warm-run.ts";

/** Row 10: rows 1 and 3 on Firecracker. The row's third part, restoring a snapshot, comes here when there are snapshots. */
export async function firecracker(setting: Setting): Promise<Measurement[]> {
  const on: Setting = { ...setting, target: { ...setting.target, backend: "firecracker" } };
  const measured = [...(await coldCreate(on)), ...(await warmRunOfSession(on))];
  return measured.map(({ row, samples }) => ({
    samples,
    row: { ...row, row: "10", name: `Firecracker, ${row.name}` },
  }));
}
