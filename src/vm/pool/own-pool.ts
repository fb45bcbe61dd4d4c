import type { SmolVMError } from "../../errors.ts";
import type { Deadline } from "../../util/deadline.ts";
import type { Home } from "../home.ts";
import { disown } from "../lifecycle/owned.ts";
import { PoolKeeper } from "./keeper.ts";
import { checkPoolConfig, checkPoolSize } from "./options.ts";
import { forgetPool, keepPool } from "./refill.ts";

/** A pool that this process keeps. */
export class OwnPool {
  readonly #home: Home;
  readonly #name: string;
  readonly #size: number;
  readonly #keeper: PoolKeeper;
  readonly #waiting = new Set<() => void>();
  failure: SmolVMError | undefined;

  /** @throws SmolVMError CONFIG_INVALID, NOT_SUPPORTED */
  constructor(home: Home, { name, size, config }: { name: string; size: number; config: unknown }) {
    checkPoolSize(size);
    const { onProgress: _, ...kept } = checkPoolConfig(config);
    this.#home = home;
    this.#name = name;
    this.#size = size;
    home.store.pools.add({ name, size, config: kept }, true);
    this.#keeper = new PoolKeeper(home, home.store.pools.find(name)!, (failure) => {
      this.failure = failure;
      for (const wake of this.#waiting) wake();
    });
    keepPool(name, () => this.#keeper.fill());
    this.#keeper.fill();
  }

  get ready(): number {
    return this.#home.store.vms.readyIn(this.#name).length;
  }

  async filled(deadline: Deadline): Promise<void> {
    while (this.ready < this.#size) {
      if (this.failure !== undefined) throw this.failure;
      this.#keeper.fill(); // it may be about to begin
      let wake!: () => void;
      const told = new Promise<void>((resolve) => {
        wake = resolve;
      });
      this.#waiting.add(wake);
      try {
        await deadline.race(told);
      } finally {
        this.#waiting.delete(wake);
      }
    }
  }

  async drain(): Promise<void> {
    forgetPool(this.#name);
    await this.#keeper.stop();
    this.#home.store.pools.remove(this.#name);
    const ids = this.#home.store.vms.waitingIn(this.#name).map(({ id }) => id);
    const { removeMembers } = await import("./manage.ts");
    await removeMembers(this.#home, this.#name);
    for (const id of ids) disown(id);
  }
}
