/** Percentile by linear interpolation between closest ranks. `q` is 0..1. Pure. */
export function percentile(samples: readonly number[], q: number): number {
  const sorted = [...samples].sort((a, b) => a - b);
  const rank = (sorted.length - 1) * q;
  const low = Math.floor(rank);
  const high = Math.ceil(rank);
  return sorted[low]! + (sorted[high]! - sorted[low]!) * (rank - low);
}

/** One line of the report. Times in `ms`, memory in `MiB`, throughput in `MiB/s`, rates in `1/s`. */
export interface Row {
  readonly row: string;
  readonly name: string;
  readonly unit: "ms" | "MiB" | "MiB/s" | "x" | "1/s";
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

/** A row with the samples that it was made from. */
export interface Measurement {
  readonly row: Row;
  readonly samples: Samples;
}

/**
 * Takes `n` rounds of samples, one of each kind, after one round for warming up. Each round begins with another kind, so
 * that none always comes after the same one.
 */
export async function interleave<Kind extends string, Sample>(
  n: number,
  acts: Record<Kind, () => Promise<Sample>>,
): Promise<Record<Kind, Sample[]>> {
  const kinds = Object.keys(acts) as Kind[];
  const samples = Object.fromEntries(kinds.map((kind) => [kind, []])) as unknown as Record<Kind, Sample[]>;
  for (const kind of kinds) await acts[kind]();
  for (let round = 0; round < n; round++) {
    for (let turn = 0; turn < kinds.length; turn++) {
      const kind = kinds[(round + turn) % kinds.length]!;
      samples[kind].push(await acts[kind]());
    }
  }
  return samples;
}

/** How long `act` takes, in `ms`. */
export async function timed(act: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await act();
  return performance.now() - start;
}

/** Throws unless the output is what the command must print: a wrong answer has no speed. */
export function checkOutput(text: string, expected: string): void {
  if (text !== expected)
    throw new Error(`expected ${JSON.stringify(expected)}, got ${JSON.stringify(text.slice(0, 200))}`);
}
