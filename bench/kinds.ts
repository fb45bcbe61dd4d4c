import { delimiter } from "node:path";
import { findProgram } from "../src/host/process/find-program.ts";
import { SmolVM } from "../src/index.ts";
import type { Target } from "./machine.ts";
import type { Setting } from "./setting.ts";
import { type Measurement, type Row, toRow } from "./stats.ts";

/** A kind of sandbox that is measured against the floor. */
export interface Kind {
  /** behind the name of what is measured */
  readonly words: string;
  readonly create: (target: Target) => Promise<SmolVM>;
  /** throws if a sandbox is not of this kind */
  readonly check: (vm: SmolVM) => Promise<void>;
}

const OURS: Kind = { words: "", create: (target) => SmolVM.create(target), check: async () => {} };
/** What sandboxes as users get them take more than these is the price of their enclosure. */
const BARE: Kind = { words: ", nothing around the VMM", create: createBare, check: checkBare };

/** What to measure for each kind that is wanted, by the kind's name. */
export function eachKind<Sample>(
  { bare }: Setting,
  act: (kind: Kind) => Promise<Sample>,
): Record<string, () => Promise<Sample>> {
  return { [OURS.words]: () => act(OURS), ...(bare ? { [BARE.words]: () => act(BARE) } : {}) };
}

/** A row for each kind of which there are samples, all against the samples named `floor`. */
export function rowsOf(
  what: Pick<Row, "row" | "name" | "unit" | "goal">,
  samples: Readonly<Record<string, readonly number[]>>,
  met: (row: Omit<Row, "met">) => boolean,
): Measurement[] {
  const { floor = [], ...kinds } = samples;
  return Object.entries(kinds).map(([words, ours]) => {
    const pair = { ours, floor };
    return { samples: pair, row: toRow({ ...what, name: `${what.name}${words}` }, pair, met) };
  });
}

/** Where bubblewrap is not found it is not used, and nothing else goes by that name. */
async function createBare(target: Target): Promise<SmolVM> {
  const path = process.env.PATH ?? "";
  const without = path.split(delimiter).filter((directory) => findProgram("bwrap", directory) === undefined);
  process.env.PATH = without.join(delimiter);
  try {
    return await SmolVM.create(target);
  } finally {
    process.env.PATH = path;
  }
}

async function checkBare(vm: SmolVM): Promise<void> {
  const { tier } = (await vm.info()).isolation;
  if (tier !== "none") throw new Error(`what is around the VMM could not be left away: tier ${tier}`);
}
