import type { AgentSession } from "../agent/session/session.ts";
import type { VmRecord } from "../store/vms.ts";
import { DoorKeeper } from "../vm/egress/keeper.ts";
import type { Home } from "../vm/home.ts";

/** States in which a sandbox's door stays as it is: whoever works on it says what comes of it. */
const STAYS: readonly string[] = ["running", "paused"];

/** The doors of sandboxes with a restricted network which nobody's process belongs to. */
export class Doors {
  readonly #home: Home;
  readonly #session: (id: string) => Promise<AgentSession>;
  readonly #keepers = new Map<string, DoorKeeper>();

  /** @param session gives the session to serve a door over */
  constructor(home: Home, session: (id: string) => Promise<AgentSession>) {
    this.#home = home;
    this.#session = session;
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
    const wanted = new Map(records.filter(hasDoor).map((record) => [record.id, record]));
    for (const [id, keeper] of [...this.#keepers]) {
      if (STAYS.includes(wanted.get(id)?.state ?? "")) continue;
      this.#keepers.delete(id);
      keeper.close();
    }
    const failures: Error[] = [];
    for (const { id, state } of wanted.values()) {
      if (state !== "running" || this.#keepers.has(id)) continue;
      const keeper = new DoorKeeper(this.#home, id, () => this.#session(id));
      this.#keepers.set(id, keeper);
      try {
        await keeper.open();
      } catch (error) {
        keeper.close();
        this.#keepers.delete(id);
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

function hasDoor({ owner, spec }: VmRecord): boolean {
  return owner === undefined && spec.machine.network === "restricted";
}
