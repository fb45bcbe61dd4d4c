import { connect, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { type NetworkPolicy, plainName } from "../config/network-rules.ts";
import { escapeTerminal } from "../util/escape-terminal.ts";
import { type Cidr, formatIp, type IpAddress } from "../util/ip-address.ts";
import { resetConnection } from "../util/reset-connection.ts";
import { type Decision, decideLiteral, decideName, decideResolved, type Rules, rulesOf } from "./decide.ts";
import type { EventReason, NetworkEvent } from "./event.ts";
import { awaitHello, guardRequests, HTTP_PORT, TLS_PORT } from "./guarded-connection.ts";
import { Rate, throttle } from "./rate.ts";

/** A connection that leaves a sandbox, as its guest tells of it: nothing of it is to be believed. */
export interface LeavingConnection {
  /** what it is to, where the guest says a name */
  readonly name: string | undefined;
  /** the address, where it does not */
  readonly address: IpAddress | undefined;
  readonly port: number;
  /**
   * takes it up: what the guest's program sends and gets
   * @param window how much it may send ahead, in bytes
   */
  accept(window: number): Promise<Duplex>;
  /** has the guest's program see it reset */
  refuse(): void;
}

/** What a broker has of the world. */
export interface BrokerWorld {
  /** the rules, as they are now */
  policy(): NetworkPolicy;
  /** what its connections may carry in each direction, all together, in millions of bits a second; undefined: as much as there is */
  readonly rateLimitMbps: number | undefined;
  resolve(name: string): Promise<readonly IpAddress[]>;
  /** this host's addresses and ranges, as they are now */
  ownNetworks(freshMs?: number): readonly Cidr[];
  report(event: NetworkEvent): void;
  /** the guest breaks the rules of the channel: nothing of it is to be listened to any more */
  overrun(): void;
}

/** Connections at once; what is more waits. */
const MAX_OPEN = 256;
/** Connections that wait. A guest's agent tells of 128 before it is answered: who tells of more is none of ours. */
const MAX_WAITING = 512;
/** So many refusals in a second are told at once; what is more waits, so that a guest that tries without end has no end of this process's time. */
const REFUSALS_A_SECOND = 100;
/** How long such a one waits, in ms; it is one of those at once until then. */
const SLOW_REFUSAL_MS = 250;
/** As much of what is no name is told, in characters. */
const MAX_SHOWN = 256;
/** How much a guest may send ahead on a connection, in bytes: all of it is this process's to keep while a server takes its time. */
const WINDOW: number = 128 * 1024;
/** The same for the first connections, so that few are fast. */
const WIDE_WINDOW: number = 1024 * 1024;
const MAX_WIDE = 32;
/** How long one address may take to answer, in ms. */
const DIAL_MS = 10_000;

/** One connection, from the guest's wish to its end. */
interface Live {
  readonly wish: LeavingConnection;
  readonly name: string | undefined;
  /** what was dialled */
  address?: IpAddress;
  guest?: Duplex;
  /** it was asked for, and if it does not come, there is nothing left to refuse */
  taken: boolean;
  wide: boolean;
  socket?: Socket;
  over: boolean;
}

/**
 * Decides on the connections of one sandbox with a restricted network, and carries those that are allowed. What the guest says is a name and a port, or
 * an address: whether there is a rule for it, which addresses the name has and whether these may be dialled is decided here, and exactly the
 * address that was looked at is dialled.
 */
export class Broker {
  readonly #world: BrokerWorld;
  readonly #rates: { readonly up: Rate; readonly down: Rate } | undefined;
  readonly #live = new Set<Live>();
  readonly #waiting: LeavingConnection[] = [];
  #policy: NetworkPolicy | undefined;
  #rules: Rules = { allow: [], deny: [] };
  #closed = false;
  /** refusals since then */
  #refusals = 0;
  #refusalsSince = 0;

  constructor(world: BrokerWorld) {
    this.#world = world;
    const { rateLimitMbps: mbps } = world;
    this.#rates = mbps === undefined ? undefined : { up: new Rate(mbps), down: new Rate(mbps) };
  }

  /** Takes a connection on. */
  handle(wish: LeavingConnection): void {
    if (this.#closed) wish.refuse();
    else if (this.#live.size < MAX_OPEN) void this.#serve(wish);
    else if (this.#waiting.length < MAX_WAITING) this.#waiting.push(wish);
    else {
      this.#report({ wish, name: nameOf(wish) }, "denied", { reason: "too-many" });
      this.#world.overrun();
    }
  }

  /** The rules may have changed: ends what is allowed no more. */
  recheck(): void {
    for (const live of this.#live) {
      if (live.address === undefined) continue; // it is still going to be looked at
      if (this.#decide(live, live.address).allowed) continue;
      this.#report(live, "closed", { reason: "rules-changed" });
      this.#cut(live);
    }
  }

  /** Ends all of them. */
  close(): void {
    this.#closed = true;
    for (const wish of this.#waiting.splice(0)) wish.refuse();
    for (const live of [...this.#live]) this.#cut(live);
  }

  get #now(): Rules {
    const policy = this.#world.policy();
    if (policy !== this.#policy) {
      this.#policy = policy;
      this.#rules = rulesOf(policy);
    }
    return this.#rules;
  }

  async #serve(wish: LeavingConnection): Promise<void> {
    const live: Live = { wish, name: nameOf(wish), taken: false, wide: false, over: false };
    this.#live.add(live);
    try {
      await this.#connect(live);
    } catch {
      // The guest's program, its agent or the whole sandbox has gone meanwhile.
      this.#cut(live);
    }
  }

  async #connect(live: Live): Promise<void> {
    const { wish, name } = live;
    const addresses = await this.#addresses(live);
    if (addresses === undefined) return;
    const isChecked = name !== undefined && (wish.port === TLS_PORT || wish.port === HTTP_PORT);
    // The server's answer and the guest's are waited for together, and with them what the client must say first of to whom it speaks:
    // the guest's program sees its connection made anyway, and a reset where nobody answers.
    const dialled = this.#dial(live, addresses);
    const accepted = this.#accept(live);
    if (isChecked && wish.port === TLS_PORT) {
      const fault = await awaitHello(await accepted, name);
      if (fault !== undefined) return this.#end(live, "closed", fault);
    }
    const [socket, guest] = await Promise.all([dialled, accepted]);
    if (socket === undefined) return this.#end(live, "failed", "unreachable");
    if (live.over) return void socket.destroy();
    // The rules of this moment, not of when it began, and what is this host's own: if it is by now, it is this host that has answered.
    const decision = this.#decide(live, live.address!, this.#world.ownNetworks(0));
    if (!decision.allowed) return this.#end(live, "denied", decision.reason, decision.rule);
    this.#carry(live, guest, socket, isChecked && wish.port === HTTP_PORT ? name : undefined);
    // Behind it: what the guest has sent already is on its way while this is written.
    this.#report(live, "allowed", { rule: decision.rule });
  }

  /** The addresses that may be dialled, best first; undefined: it is over. */
  async #addresses(live: Live): Promise<readonly IpAddress[] | undefined> {
    const { wish, name } = live;
    if (wish.name === undefined && wish.address !== undefined) {
      const decision = this.#decide(live, wish.address);
      if (decision.allowed) return [wish.address];
      return void this.#end(live, "denied", decision.reason, decision.rule);
    }
    if (name === undefined) return void this.#end(live, "denied", "not-a-name");
    const named = decideName(this.#now, name, wish.port);
    if (!named.allowed) return void this.#end(live, "denied", named.reason, named.rule);
    const found = await this.#world.resolve(name);
    if (live.over) return undefined;
    if (found.length === 0) return void this.#end(live, "failed", "unresolved");
    const decisions = found.map((address) => ({ address, decision: this.#decide(live, address) }));
    const good = decisions.filter(({ decision }) => decision.allowed).map(({ address }) => address);
    const [bad] = decisions;
    if (good.length > 0 || bad === undefined || bad.decision.allowed) return good;
    live.address = bad.address;
    return void this.#end(live, "denied", bad.decision.reason, bad.decision.rule);
  }

  #decide({ wish, name }: Live, address: IpAddress, own = this.#world.ownNetworks()): Decision {
    if (wish.name === undefined) return decideLiteral(this.#now, address, wish.port, own);
    if (name === undefined) return { allowed: false, reason: "not-a-name" };
    const named = decideName(this.#now, name, wish.port);
    return named.allowed ? decideResolved(this.#now, address, wish.port, { rule: named.rule, own }) : named;
  }

  async #accept(live: Live): Promise<Duplex> {
    live.taken = true;
    live.wide = [...this.#live].filter(({ wide }) => wide).length < MAX_WIDE;
    const guest = await live.wish.accept(live.wide ? WIDE_WINDOW : WINDOW);
    live.guest = guest;
    guest.on("error", () => this.#cut(live)); // its program has reset it
    guest.once("close", () => this.#maybeOver(live));
    if (live.over) guest.destroy(new Error("it is over"));
    return guest;
  }

  /** Connects to the first address that answers. */
  async #dial(live: Live, addresses: readonly IpAddress[]): Promise<Socket | undefined> {
    for (const address of addresses) {
      if (live.over) return undefined;
      // The one before may have taken its time: the rules and what is this host's own are not as they were.
      const decision = this.#decide(live, address);
      if (!decision.allowed) {
        this.#end(live, "denied", decision.reason, decision.rule);
        return undefined;
      }
      const socket = await dial(formatIp(address), live.wish.port);
      if (socket === undefined) continue;
      if (live.over) {
        socket.destroy();
        return undefined;
      }
      live.address = address;
      live.socket = socket;
      socket.on("error", () => this.#cut(live));
      socket.once("close", () => this.#maybeOver(live));
      return socket;
    }
    return undefined;
  }

  #carry(live: Live, guest: Duplex, socket: Socket, http: string | undefined): void {
    socket.setNoDelay(true);
    // What stands in each way, from the guest's end and from the server's.
    const guard =
      http === undefined ? undefined : guardRequests(http, (fault) => this.#end(live, "closed", fault));
    const up = [guard?.up, this.#rates && throttle(this.#rates.up)].filter((part) => part !== undefined);
    const down = [guard?.down, this.#rates && throttle(this.#rates.down)].filter(
      (part) => part !== undefined,
    );
    const way = (from: Duplex, parts: readonly Duplex[], to: Duplex): void => {
      let last = from;
      for (const part of [...parts, to]) last = last.pipe(part);
    };
    way(guest, up, socket);
    way(socket, down, guest);
  }

  /** An end is closed: in order, and what it has said is still on its way to the other, or else that is cut, too. */
  #maybeOver(live: Live): void {
    const { guest, socket } = live;
    const wasCut = (end: Duplex | undefined): boolean =>
      end?.destroyed === true && !(end.readableEnded && end.writableFinished);
    if (wasCut(guest) || wasCut(socket)) this.#cut(live);
    else if (socket?.destroyed && guest?.destroyed) this.#forget(live);
  }

  #end(live: Live, decision: NetworkEvent["decision"], reason: EventReason, rule?: string): void {
    if (live.over) return;
    this.#report(live, decision, { reason, rule });
    if (decision === "denied" && this.#refusesTooOften())
      setTimeout(() => this.#cut(live), SLOW_REFUSAL_MS).unref();
    else this.#cut(live);
  }

  #refusesTooOften(): boolean {
    const now = Date.now();
    if (now - this.#refusalsSince >= 1_000) [this.#refusals, this.#refusalsSince] = [0, now];
    return ++this.#refusals > REFUSALS_A_SECOND;
  }

  /** Resets both ends. */
  #cut(live: Live): void {
    if (live.over) return;
    live.over = true;
    const { guest, socket, wish } = live;
    if (guest === undefined && !live.taken) wish.refuse();
    guest?.destroy(new Error("the connection was cut"));
    if (socket !== undefined && !socket.destroyed) {
      if (socket.writableFinished && socket.readableEnded) socket.destroy();
      else resetConnection(socket);
    }
    this.#forget(live);
  }

  #forget(live: Live): void {
    live.over = true;
    if (!this.#live.delete(live)) return;
    while (!this.#closed && this.#live.size < MAX_OPEN) {
      const next = this.#waiting.shift();
      if (next === undefined) return;
      void this.#serve(next);
    }
  }

  #report(
    { wish, name, address }: Pick<Live, "wish" | "name" | "address">,
    decision: NetworkEvent["decision"],
    more: { readonly reason?: EventReason; readonly rule?: string | undefined },
  ): void {
    const shown = address ?? wish.address;
    this.#world.report({
      at: Date.now(),
      decision,
      name: wish.name === undefined ? undefined : (name ?? escapeTerminal(wish.name, MAX_SHOWN)),
      address: shown === undefined ? undefined : formatIp(shown),
      port: wish.port,
      ...more,
    });
  }
}

/** The name of a wish, if it is one. */
function nameOf(wish: LeavingConnection): string | undefined {
  return wish.name === undefined ? undefined : plainName(wish.name);
}

/** Connects to an address, not a name. Undefined if nobody answers there. */
function dial(host: string, port: number): Promise<Socket | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, allowHalfOpen: true, autoSelectFamily: false });
    const timer = setTimeout(() => socket.destroy(), DIAL_MS);
    timer.unref();
    socket.once("connect", () => {
      clearTimeout(timer);
      socket.off("error", ignored);
      socket.off("close", failed);
      resolve(socket);
    });
    const failed = (): void => {
      clearTimeout(timer);
      resolve(undefined);
    };
    const ignored = (): void => {}; // its close tells
    socket.on("error", ignored);
    socket.once("close", failed);
  });
}
