import type { VmRecord } from "../store/vms.ts";
import type { Keeper } from "../vm/network/keeper.ts";

/** States in which a sandbox's keeper stays as it is: whoever works on it says what comes of it. */
const STAYS: readonly string[] = ["running", "paused"];

/** One kind of keeper, for all sandboxes that want one and which nobody's process belongs to. */
export class Kept {
  readonly #wants: (record: VmRecord) => boolean;
  readonly #make: (record: VmRecord) => Keeper;
  readonly #keepers = new Map<string, Keeper>();

  /**
   * @param wants whether a sandbox wants one
   * @param make makes it
   */
  constructor(wants: (record: VmRecord) => boolean, make: (record: VmRecord) => Keeper) {
    this.#wants = wants;
    this.#make = make;
  }

  /** How many are served. */
  get count(): number {
    return this.#keepers.size;
  }

  /**
   * Serves those of the sandboxes that run, and no others.
   * @returns why some could not be: to be tried again
   */
  async reconcile(records: readonly VmRecord[]): Promise<Error[]> {
    const own = records.filter((record) => record.owner === undefined && this.#wants(record));
    const wanted = new Map(own.map((record) => [record.id, record]));
    for (const [id, keeper] of [...this.#keepers]) {
      if (STAYS.includes(wanted.get(id)?.state ?? "")) continue;
      this.#keepers.delete(id);
      keeper.close();
    }
    const failures: Error[] = [];
    for (const record of wanted.values()) {
      if (record.state !== "running" || this.#keepers.has(record.id)) continue;
      const keeper = this.#make(record);
      this.#keepers.set(record.id, keeper);
      try {
        await keeper.open();
      } catch (error) {
        keeper.close();
        this.#keepers.delete(record.id);
        failures.push(error as Error);
      }
    }
    return failures;
  }

  closeAll(): void {
    for (const keeper of this.#keepers.values()) keeper.close();
    this.#keepers.clear();
  }
}
