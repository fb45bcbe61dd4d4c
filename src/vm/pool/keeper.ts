import { freemem } from "node:os";
import { DEFAULT_MEM_SIZE_MIB } from "../../config/defaults.ts";
import { SmolVMError } from "../../errors.ts";
import type { PoolRecord } from "../../store/pools.ts";
import { STEADY } from "../../store/states.ts";
import { Deadline } from "../../util/deadline.ts";
import type { Home } from "../home.ts";

/** A start, and what it is made ready with, also on a host that emulates and is busy. */
const MAKE_MS = 300_000;
const REMOVE_MS = 30_000;
/** After a failure it is tried again after so long, each time twice as long as before. */
const FIRST_PAUSE_MS = 500;
const MAX_PAUSE_MS = 60_000;
/** Whoever takes one says so, unless it dies over it, or does not know who keeps the pool: so it is looked for what is missing every so often. */
const LOOK_AGAIN_MS = 5_000;
const MIB = 2 ** 20;

/** Keeps one pool full: one sandbox at a time is made, as long as some are missing. */
export class PoolKeeper {
  readonly #home: Home;
  readonly #pool: PoolRecord;
  readonly #told: (failure: SmolVMError | undefined) => void;
  readonly #stop = new AbortController();
  #work: Promise<void> | undefined;
  #again: NodeJS.Timeout | undefined;
  #pauseMs = FIRST_PAUSE_MS;
  /** somebody asked since it was last looked for what is missing */
  #isAsked = false;

  /** @param told after each one that was made, and with why, after each that could not be */
  constructor(home: Home, pool: PoolRecord, told: (failure: SmolVMError | undefined) => void) {
    this.#home = home;
    this.#pool = pool;
    this.#told = told;
  }

  /** Looks whether some are missing, and makes them in the background. */
  fill(): void {
    if (this.#stop.signal.aborted) return;
    clearTimeout(this.#again);
    this.#isAsked = true;
    this.#work ??= this.#fillNow();
  }

  async #fillNow(): Promise<void> {
    try {
      const { makeMember } = await import("./member.ts"); // with the package comes the class, and not all that making sandboxes takes
      while (!this.#stop.signal.aborted && (await this.#areMissing())) {
        requireMemory(this.#pool);
        const signal = this.#stop.signal;
        const deadline = Deadline.of("filling a pool", { timeoutMs: MAKE_MS, signal });
        await makeMember(this.#home, this.#pool, deadline);
        this.#pauseMs = FIRST_PAUSE_MS;
        this.#tell(undefined);
      }
      if (!this.#stop.signal.aborted) this.#fillIn(LOOK_AGAIN_MS);
    } catch (error) {
      if (this.#stop.signal.aborted) return;
      this.#tell(
        error instanceof SmolVMError ? error : new SmolVMError("INTERNAL", (error as Error).message),
      );
      this.#fillIn(this.#pauseMs);
      this.#pauseMs = Math.min(this.#pauseMs * 2, MAX_PAUSE_MS);
    } finally {
      this.#work = undefined; // at once: whoever asks from now on is not heard above
    }
  }

  /** One may be taken while it is looked: then whoever took it has asked, and it is looked again. */
  async #areMissing(): Promise<boolean> {
    do {
      this.#isAsked = false;
      if ((await this.#missing()) > 0) return true;
    } while (this.#isAsked);
    return false;
  }

  #fillIn(ms: number): void {
    this.#again = setTimeout(() => this.fill(), ms).unref();
  }

  #tell(failure: SmolVMError | undefined): void {
    const fault = failure && { code: failure.code, message: failure.message };
    this.#home.store.pools.setFailure(this.#pool.name, fault);
    this.#told(failure);
  }

  /** How many are missing; those that have crashed, or were given up half made, are removed. */
  async #missing(): Promise<number> {
    const waiting = this.#home.store.vms.waitingIn(this.#pool.name);
    const good = waiting.filter(({ state }) => STEADY.has(state));
    const { removeVm } = await import("../lifecycle/remove.ts");
    for (const { id } of waiting.filter((record) => !good.includes(record)))
      await removeVm(this.#home, id, { force: true }, Deadline.within(REMOVE_MS, "removing a sandbox"));
    return this.#pool.size - good.length;
  }

  /** Makes no more of them; one that is being made is given up. */
  async stop(): Promise<void> {
    this.#stop.abort();
    clearTimeout(this.#again);
    await this.#work;
  }
}

/** Those that wait must not push out what works. @throws SmolVMError NO_SPACE */
function requireMemory({ config, name }: PoolRecord): void {
  const { memSizeMib = DEFAULT_MEM_SIZE_MIB } = config as { memSizeMib?: number };
  const free = freemem(); // on Linux what can be had without swapping (MemAvailable)
  if (free >= memSizeMib * MIB) return;
  throw new SmolVMError(
    "NO_SPACE",
    `pool '${name}' waits: this machine has ${Math.floor(free / MIB)} MiB of memory left, and a sandbox may need ${memSizeMib}`,
    { hint: "It goes on by itself when there is more. What uses it: smolvm stats" },
  );
}
