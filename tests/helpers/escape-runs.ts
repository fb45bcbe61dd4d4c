import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** A guest that tries to escape: what keeps it, and what runs it. */
export interface Escapee {
  /** "restricted", "off", or the way in which an open network is kept */
  readonly network: string;
  readonly backend: string;
  readonly accelerator: string;
}

/** What one try is, and what has to come of it. */
export interface Try {
  readonly name: string;
  readonly attempt: string;
  readonly outcome: string;
}

/** Of each run the one file that it leaves, from which the pages are made. */
interface Run extends Escapee {
  /** the day */
  readonly date: string;
  /** of what it was held to, see {@link fingerprint} */
  readonly held: readonly string[];
}

/** What other runs have left. */
export const RUNS_DIR: string = join(import.meta.dirname, "../escape-runs");

/** Other for another attempt and for another outcome: what was held to the old one says nothing of the new one. */
function fingerprint({ name, attempt, outcome }: Try): string {
  return createHash("sha256")
    .update(JSON.stringify([name, attempt, outcome]))
    .digest("hex")
    .slice(0, 8);
}

const file = ({ network, backend, accelerator }: Escapee): string =>
  `${network}-${backend}-${accelerator}.json`;

/** Notes what a real guest was held to, in SMOLVM_ESCAPE_RUNS if that is a directory's name. */
export function noteRun(guest: Escapee, tries: readonly Try[]): void {
  const directory = process.env.SMOLVM_ESCAPE_RUNS;
  if (directory === undefined) return;
  const run: Run = { ...guest, date: new Date().toISOString().slice(0, 10), held: tries.map(fingerprint) };
  writeFileSync(join(directory, file(guest)), `${JSON.stringify(run, null, 2)}\n`);
}

/** What runs have left in a directory, by guest. */
export class EscapeRuns {
  readonly #runs: ReadonlyMap<string, Run>;

  constructor(runs: readonly Run[]) {
    this.#runs = new Map(runs.map((run) => [file(run), run]));
  }

  static read(directory: string): EscapeRuns {
    const names = readdirSync(directory).filter((name) => name.endsWith(".json"));
    return new EscapeRuns(
      names.map((name) => JSON.parse(readFileSync(join(directory, name), "utf8")) as Run),
    );
  }

  /** @returns the day of a guest's run; undefined if there is none */
  date(guest: Escapee): string | undefined {
    return this.#runs.get(file(guest))?.date;
  }

  /** @returns whether a guest of that kind was held to it as it is now */
  held(guest: Escapee, one: Try): boolean {
    return this.#runs.get(file(guest))?.held.includes(fingerprint(one)) ?? false;
  }
}
