import type { DifferenceStep, DiskEntry } from "../../agent/files/difference.ts";

/**
 * Takes from what a directory of a sandbox holds those entries that are wanted, and the directories above them. Names come in the order of a walk,
 * a directory before what is in it. Pure.
 */
export class TreeFilter {
  readonly #wanted: (path: string) => boolean;
  /** directories in which nothing was wanted so far */
  #pending: DiskEntry[] = [];
  /** files that were not wanted: what has a wanted name as well comes under this one */
  readonly #passedOver = new Set<string>();
  readonly #withoutContent: string[] = [];
  #sending = false;
  #taken = 0;

  /** @param wanted is told a path, relative to the directory */
  constructor(wanted: (path: string) => boolean) {
    this.#wanted = wanted;
  }

  /** Files that are wanted, and whose content came under another name, which was not: their paths, bytes as {@link DiskEntry} has them. */
  get withoutContent(): readonly string[] {
    return this.#withoutContent;
  }

  /** how many entries were wanted so far */
  get taken(): number {
    return this.#taken;
  }

  *take(step: DifferenceStep): Generator<DifferenceStep, void, undefined> {
    if (step.step === "data" || step.step === "end") {
      if (this.#sending) yield step;
      if (step.step === "end") this.#sending = false;
      return;
    }
    if (step.step === "removed") return;
    const { entry } = step;
    if (entry.path === "") return;
    this.#pending = this.#pending.filter(({ path }) => entry.path.startsWith(`${path}/`));
    if (!this.#wanted(Buffer.from(entry.path, "latin1").toString("utf8"))) {
      if (entry.kind === "directory") this.#pending.push(entry);
      if (entry.kind === "file") this.#passedOver.add(entry.path);
      return;
    }
    this.#taken++;
    for (const above of this.#pending.splice(0)) yield { step: "entry", entry: above };
    if (entry.kind === "link" && this.#passedOver.has(entry.target)) {
      this.#withoutContent.push(entry.path);
      return;
    }
    this.#sending = entry.kind === "file";
    yield step;
  }
}
