import type { Home } from "../vm/home.ts";
import { PoolKeeper } from "../vm/pool/keeper.ts";
import { removeStrayMembers } from "../vm/recovery/stray-members.ts";

/** The pools that the supervisor keeps full. */
export class Pools {
  readonly #home: Home;
  readonly #log: (line: string) => void;
  readonly #keepers = new Map<string, PoolKeeper>();

  constructor(home: Home, log: (line: string) => void) {
    this.#home = home;
    this.#log = log;
  }

  /** How many there are. */
  get count(): number {
    return this.#keepers.size;
  }

  /** Keeps what there is, and lets go of what is gone. What is missing in them is made in the background. */
  async reconcile(): Promise<void> {
    const pools = this.#home.store.pools.ofSupervisor();
    for (const [name, keeper] of this.#keepers) {
      if (pools.some((pool) => pool.name === name)) continue;
      this.#keepers.delete(name);
      await keeper.stop();
    }
    await removeStrayMembers(this.#home);
    for (const pool of pools) {
      if (!this.#keepers.has(pool.name)) {
        const told = (failure: Error | undefined): void => {
          if (failure !== undefined) this.#log(`pool ${pool.name}: ${failure.message}`);
        };
        this.#keepers.set(pool.name, new PoolKeeper(this.#home, pool, told));
      }
      this.#keepers.get(pool.name)!.fill();
    }
  }

  /** Makes no more; what waits stays, for the next supervisor. */
  async letGo(): Promise<void> {
    const keepers = [...this.#keepers.values()];
    this.#keepers.clear();
    await Promise.all(keepers.map((keeper) => keeper.stop()));
  }
}
