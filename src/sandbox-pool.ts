import type { Limits } from "./config/options.ts";
import type { SmolVMError } from "./errors.ts";
import { SmolVM } from "./smolvm.ts";
import type { PoolOptions, TakeOptions } from "./types.ts";
import { requireObject } from "./util/check-names.ts";
import { Deadline, limited } from "./util/deadline.ts";
import { openHome } from "./vm/home.ts";
import { newId } from "./vm/lifecycle/names.ts";
import { OwnPool } from "./vm/pool/own-pool.ts";

/**
 * Sandboxes of one kind that wait to be taken: each has started and run a command, so that what it is taken for begins at once. This
 * process keeps it full in the background; what waits ends with the process, or by {@link drain}.
 */
export class SandboxPool implements AsyncDisposable {
  /** as `SmolVM.pools.list()` has it */
  readonly name: string = `own-${newId()}`;
  readonly size: number;
  readonly #pool: OwnPool;

  /**
   * Begins to fill it.
   * @param options what its sandboxes are like, and how many are to wait
   * @throws SmolVMError CONFIG_INVALID, NOT_SUPPORTED
   */
  constructor(options: PoolOptions) {
    const { size, ...config } = requireObject(options);
    this.size = size;
    this.#pool = new OwnPool(openHome(), { name: this.name, size, config });
  }

  /** How many wait now. */
  get ready(): number {
    return this.#pool.ready;
  }

  /**
   * Resolves when it is full.
   * @throws SmolVMError why one of them could not be made; TIMEOUT, ABORTED (default: no limit)
   */
  async filled(limits: Limits = {}): Promise<void> {
    await this.#pool.filled(Deadline.of("filling a pool", limited(limits)));
  }

  /**
   * Takes the one that has waited longest; where none waits, the next one. It has an identity of its own from then on, and dies with this process.
   * @param options what it has of its own; `timeoutMs` (default 60,000 ms) and `signal` limit the call
   * @throws SmolVMError why none could be made; POOL_NOT_FOUND after {@link drain}; VM_NAME_TAKEN, CONFIG_INVALID, TIMEOUT, ABORTED
   */
  take(options: Omit<TakeOptions, "lifetime"> = {}): Promise<SmolVM> {
    return SmolVM.take(this.name, { ...requireObject(options), lifetime: "owner" });
  }

  /** Makes no more, and deletes what waits. Those that were taken stay. */
  async drain(): Promise<void> {
    await this.#pool.drain();
  }

  /** {@link drain} */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.drain();
  }

  /** why the last one could not be made; undefined: it could */
  get failure(): SmolVMError | undefined {
    return this.#pool.failure;
  }
}
