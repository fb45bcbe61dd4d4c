import type { ExposedPort, ExposeOptions } from "../../agent/forward/expose.ts";
import type { AgentSession } from "../../agent/session/session.ts";
import type { Home } from "../home.ts";

/** The ports of the host that this process forwards into one sandbox, noted in the store for others to see. */
export class PortForwards {
  readonly #home: Home;
  readonly #id: string;
  /** each with its row in the store, once it has one */
  readonly #open = new Map<ExposedPort, number | undefined>();
  /** those that are being opened, by what was asked for */
  readonly #opening = new Map<string, Promise<ExposedPort>>();

  constructor(home: Home, id: string) {
    this.#home = home;
    this.#id = id;
  }

  /** {@link open}, or the port that is open for the same: of `guestPort` at that address, and at that host port if one is asked for. */
  async openOnce(
    session: () => Promise<AgentSession>,
    guestPort: number,
    { hostAddress = "127.0.0.1", hostPort }: ExposeOptions,
  ): Promise<ExposedPort> {
    const any = hostPort === undefined || hostPort === 0;
    const there = this.list().find(
      (port) =>
        port.guestPort === guestPort &&
        port.hostAddress === hostAddress &&
        (any || port.hostPort === hostPort),
    );
    if (there) return there;
    const wanted = JSON.stringify([guestPort, hostAddress, any ? null : hostPort]);
    let opening = this.#opening.get(wanted);
    if (!opening) {
      opening = this.open(session, guestPort, { hostAddress, hostPort }).finally(() => {
        this.#opening.delete(wanted);
      });
      this.#opening.set(wanted, opening);
    }
    return await opening;
  }

  /** As {@link expose}. Asks for no session yet, so the sandbox need not run, nor have a record (then see {@link note}). */
  async open(
    session: () => Promise<AgentSession>,
    guestPort: number,
    options: ExposeOptions,
  ): Promise<ExposedPort> {
    const { expose } = await import("../../agent/forward/expose.ts"); // few commands need it
    const port = await expose(session, guestPort, options);
    const own: ExposedPort = {
      ...port,
      close: async () => {
        this.#forget(own);
        await port.close();
      },
    };
    this.#open.set(own, undefined);
    this.note();
    return own;
  }

  /** Notes in the store what is not noted yet, if the sandbox has its record by now. */
  note(): void {
    const { ports, vms } = this.#home.store;
    if (!vms.find(this.#id)) return;
    for (const [port, row] of this.#open)
      if (row === undefined) this.#open.set(port, ports.add(this.#id, port));
  }

  list(): ExposedPort[] {
    return [...this.#open.keys()];
  }

  async closeAll(): Promise<void> {
    for (const port of this.list()) await port.close();
  }

  #forget(port: ExposedPort): void {
    const row = this.#open.get(port);
    this.#open.delete(port);
    if (row === undefined) return;
    try {
      this.#home.store.ports.remove(row);
    } catch {
      // The store cannot be written (a full disk): the note counts for nothing once this process has ended.
    }
  }
}
