import type { Deadline } from "../../util/deadline.ts";
import type { QmpClient } from "./qmp-client.ts";

/** Queries that change nothing and tell nothing of the guest's memory. */
const QUERIES = [
  "query-status",
  "query-version",
  "query-kvm",
  "query-cpus-fast",
  "query-memory-size-summary",
  "query-block",
  "query-blockstats",
  "query-chardev",
] as const;

/** What QEMU says of itself, by query. One that it refuses is told as such. */
export async function inspectQemu(
  client: QmpClient,
  deadline: Deadline,
): Promise<Readonly<Record<string, unknown>>> {
  const answers: Record<string, unknown> = {};
  for (const query of QUERIES) {
    try {
      answers[query] = await client.execute(query, undefined, deadline);
    } catch (error) {
      deadline.check();
      answers[query] = { failed: (error as Error).message };
    }
  }
  return answers;
}
