import { serveDoor } from "../../agent/door/door.ts";
import type { DoorKnock } from "../../agent/door/knocks.ts";
import type { AgentSession } from "../../agent/session/session.ts";
import type { NetworkPolicy } from "../../config/network-rules.ts";
import { Broker, type LeavingConnection } from "../../egress/broker.ts";
import type { NetworkEvent } from "../../egress/event.ts";
import { NameResolver } from "../../egress/resolve.ts";
import { readEnvironment } from "../../host/environment.ts";
import { appendToLog } from "../../host/logs/append-log.ts";
import { ownNetworks } from "../../host/own-networks.ts";
import { ipOfBytes } from "../../util/ip-address.ts";
import { monotonicMs } from "../../util/monotonic.ts";
import { filesOf, type Home } from "../home.ts";
import { type Keeper, serveAgain } from "../network/keeper.ts";

/** How often one looks whether the rules have changed, in ms. */
const LOOK_MS = 500;
/** Rules that were read so short a time ago are still these, in ms. */
const FRESH_MS = 20;
/** Nothing passes. */
const NOTHING: NetworkPolicy = { allow: [], deny: [] };

/** Serves the door of one sandbox, for as long as that runs, over one session after the other. */
export class DoorKeeper implements Keeper {
  readonly #home: Home;
  readonly #id: string;
  readonly #session: () => Promise<AgentSession>;
  readonly #resolver: NameResolver;
  #policy: NetworkPolicy = NOTHING;
  #policyText = "";
  /** the rules with which all connections were looked at last */
  #looked: NetworkPolicy = NOTHING;
  #readAt = Number.NEGATIVE_INFINITY;
  #broker: Broker | undefined;
  #close: (() => void) | undefined;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  /** @param session a session with the sandbox's agent, as long as it runs */
  constructor(home: Home, id: string, session: () => Promise<AgentSession>) {
    this.#home = home;
    this.#id = id;
    this.#session = session;
    this.#resolver = new NameResolver(readEnvironment(process.env).resolver);
  }

  /**
   * Begins. Resolves when the guest's connections are served.
   * @throws SmolVMError as `serveDoor`, and what the session's lack means
   */
  async open(): Promise<void> {
    await this.#serve();
    this.#timer = setInterval(() => this.#look(), LOOK_MS);
    this.#timer.unref();
  }

  /** Ends all connections. Nothing passes any more. */
  close(): void {
    this.#closed = true;
    clearInterval(this.#timer);
    this.#close?.();
    this.#broker?.close();
  }

  async #serve(): Promise<void> {
    const session = await this.#session();
    const broker = new Broker({
      rateLimitMbps: this.#home.store.vms.find(this.#id)?.spec.networkRateLimitMbps,
      policy: () => this.#readPolicy(),
      resolve: (name) => this.#resolver.resolve(name),
      ownNetworks,
      report: (event) => this.#report(event),
      overrun: () => this.#close?.(),
    });
    const door = await serveDoor(session, (knock) => broker.handle(wishOf(knock)));
    if (this.#closed) {
      door.close();
      return;
    }
    this.#broker = broker;
    this.#close = door.close;
    void door.ended.then(() => {
      broker.close();
      serveAgain(
        this.#home,
        this.#id,
        () => this.#closed,
        () => this.#serve(),
      );
    });
  }

  #look(): void {
    // Whoever connected meanwhile has read the new rules already: what counts is which ones the others were looked at with.
    const policy = this.#readPolicy();
    if (policy === this.#looked) return;
    this.#looked = policy;
    this.#broker?.recheck();
  }

  /** The rules as the store has them now; the same object as long as they are the same. */
  #readPolicy(): NetworkPolicy {
    const now = monotonicMs();
    if (now - this.#readAt < FRESH_MS) return this.#policy;
    this.#readAt = now;
    const policy = this.#stored();
    const text = JSON.stringify(policy);
    if (text !== this.#policyText) [this.#policy, this.#policyText] = [policy, text];
    return this.#policy;
  }

  #stored(): NetworkPolicy {
    try {
      return this.#home.store.vms.find(this.#id)?.spec.networkPolicy ?? NOTHING;
    } catch {
      return this.#policy; // a store that cannot be read for a moment has not changed either
    }
  }

  #report(event: NetworkEvent): void {
    try {
      appendToLog(filesOf(this.#home, this.#id).networkLog, JSON.stringify(event));
    } catch {
      // A full disk, or the sandbox is being removed: what was decided stands.
    }
  }
}

function wishOf({ name, address, port, accept, refuse }: DoorKnock): LeavingConnection {
  return {
    name,
    address: address === undefined ? undefined : ipOfBytes(address),
    port,
    accept,
    refuse,
  };
}
