/** Percentile by linear interpolation between closest ranks. `q` is 0..1. Pure. */
export function percentile(samples: readonly number[], q: number): number {
  const sorted = [...samples].sort((a, b) => a - b);
  const rank = (sorted.length - 1) * q;
  const low = Math.floor(rank);
  const high = Math.ceil(rank);
  return sorted[low]! + (sorted[high]! - sorted[low]!) * (rank - low);
}

/** One line of the report. Times in `ms`, throughput in `MiB/s`. */
export interface Row {
  readonly row: string;
  readonly name: string;
  readonly unit: "ms" | "MiB/s" | "x";
  /** p50 of ours */
  readonly ours: number;
  /** p50 of the floor measured in the same run */
  readonly floor: number;
  /** ours / floor */
  readonly ratio: number;
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
  readonly n: number;
  readonly goal: string;
  readonly met: boolean;
}

/** Paired samples of one measurement. */
export interface Samples {
  readonly ours: readonly number[];
  readonly floor: readonly number[];
}

/** Makes a row; `met` decides from it whether the goal is reached. */
export function toRow(
  what: Pick<Row, "row" | "name" | "unit" | "goal">,
  samples: Samples,
  met: (row: Omit<Row, "met">) => boolean,
): Row {
  const ours = percentile(samples.ours, 0.5);
  const floor = percentile(samples.floor, 0.5);
  const row = {
    ...what,
    ours,
    floor,
    ratio: ours / floor,
    p50: ours,
    p95: percentile(samples.ours, 0.95),
    p99: percentile(samples.ours, 0.99),
    n: samples.ours.length,
  };
  return { ...row, met: met(row) };
}
