import type { ExposedPort } from "../agent/forward/expose.ts";
import type { AgentSession } from "../agent/session/session.ts";
import { isSmolVMError } from "../errors.ts";
import type { ForwardRecord } from "../store/forwards.ts";
import type { VmRecord } from "../store/vms.ts";
import type { Home } from "../vm/home.ts";
import { PortForwards } from "../vm/network/port-forwards.ts";

/** The listening ports of one sandbox, by the forward that each is for. */
interface Listening {
  readonly ports: PortForwards;
  readonly open: Map<number, ExposedPort>;
  /** somebody said that the sandbox is about to start */
  expected: boolean;
}

/** States in which a sandbox's ports stay as they are: whoever works on it says what comes of it. */
const UNDER_WAY: readonly string[] = ["starting", "paused", "stopping"];

/** The ports of this machine that lead into sandboxes which nobody's process belongs to. */
export class Forwards {
  readonly #home: Home;
  readonly #session: (id: string) => Promise<AgentSession>;
  readonly #listening = new Map<string, Listening>();

  /** @param session gives the session to carry connections with */
  constructor(home: Home, session: (id: string) => Promise<AgentSession>) {
    this.#home = home;
    this.#session = session;
  }

  /** How many ports are open. */
  get count(): number {
    return [...this.#listening.values()].reduce((sum, { open }) => sum + open.size, 0);
  }

  /**
   * Listens on all ports of a sandbox that is about to start: who connects early waits for the guest.
   * @throws SmolVMError PORT_IN_USE and as `expose`; then those that were not open before are closed again
   */
  async open(id: string): Promise<void> {
    const listening = this.#of(id);
    const before = new Set(listening.open.keys());
    listening.expected = true;
    try {
      for (const forward of this.#home.store.forwards.of(id)) {
        if (!listening.open.has(forward.id))
          listening.open.set(forward.id, await this.#listen(listening, forward));
      }
    } catch (error) {
      for (const [forwardId, port] of listening.open)
        if (!before.has(forwardId)) await close(listening, forwardId, port);
      listening.expected = false;
      this.#tidy(id);
      throw error;
    }
  }

  /**
   * Opens what is wanted and closes what is not, after the sandboxes' states.
   * @param told somebody said that something has changed: what was about to start runs now, or will not
   * @returns why some could not be opened: to be tried again
   */
  async reconcile(records: readonly VmRecord[], told: boolean): Promise<Error[]> {
    const failures: Error[] = [];
    const byId = new Map(records.map((record) => [record.id, record]));
    for (const id of [...this.#listening.keys()]) {
      const record = byId.get(id);
      const listening = this.#of(id);
      if (told || record?.state === "running") listening.expected = false;
      const stays =
        record && (record.state === "running" || UNDER_WAY.includes(record.state) || listening.expected);
      const wanted = new Set(stays ? this.#home.store.forwards.of(id).map((forward) => forward.id) : []);
      for (const [forwardId, port] of listening.open) {
        if (!wanted.has(forwardId)) await close(listening, forwardId, port);
      }
      this.#tidy(id);
    }
    for (const forward of this.#home.store.forwards.all()) {
      if (byId.get(forward.vmId)?.state !== "running") continue;
      const listening = this.#of(forward.vmId);
      if (listening.open.has(forward.id)) continue;
      try {
        listening.open.set(forward.id, await this.#listen(listening, forward));
      } catch (error) {
        failures.push(error as Error);
        this.#tidy(forward.vmId);
      }
    }
    return failures;
  }

  /** The sandboxes into which something is forwarded. */
  get sandboxes(): string[] {
    return [...this.#listening.keys()];
  }

  async closeAll(): Promise<void> {
    for (const { ports } of this.#listening.values()) await ports.closeAll();
    this.#listening.clear();
  }

  async #listen({ ports }: Listening, forward: ForwardRecord): Promise<ExposedPort> {
    const { guestPort, hostAddress, hostPort, chosenPort } = forward;
    const session = (): Promise<AgentSession> => this.#session(forward.vmId);
    const listen = (on: number | undefined): Promise<ExposedPort> =>
      ports.open(session, guestPort, { hostPort: on, hostAddress });
    if (hostPort !== undefined) return listen(hostPort);
    const port = await listen(chosenPort).catch((error) => {
      if (chosenPort !== undefined && isSmolVMError(error, "PORT_IN_USE")) return listen(undefined);
      throw error;
    });
    if (port.hostPort !== chosenPort) this.#home.store.forwards.chosen(forward.id, port.hostPort);
    return port;
  }

  #of(id: string): Listening {
    let listening = this.#listening.get(id);
    if (!listening) {
      listening = { ports: new PortForwards(this.#home, id), open: new Map(), expected: false };
      this.#listening.set(id, listening);
    }
    return listening;
  }

  #tidy(id: string): void {
    const listening = this.#listening.get(id);
    if (listening?.open.size === 0 && !listening.expected) this.#listening.delete(id);
  }
}

async function close(listening: Listening, forwardId: number, port: ExposedPort): Promise<void> {
  listening.open.delete(forwardId);
  await port.close();
}
