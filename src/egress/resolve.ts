import { lookup, Resolver } from "node:dns/promises";
import { type IpAddress, parseIp } from "../util/ip-address.ts";

/** How long a name's addresses are kept, in ms: for what connects many times in a moment. */
const KEEP_MS = 5_000;
/** Names that are kept. */
const MAX_KEPT = 256;
/**
 * Names that all sandboxes of this process look up at once. Each takes one of the four threads on which Node reads files too, for as long as
 * this host's resolver takes.
 */
const MAX_AT_ONCE = 3;
/** Of them one sandbox's: one with many names, or slow ones, leaves the others a thread. */
const MAX_OF_ONE = 2;
/** How long a name may take, in ms. */
const TIMEOUT_MS = 10_000;
/** Addresses of one name that are looked at. */
const MAX_ADDRESSES = 16;

/** So many at once; the others wait in order. */
class Turns {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(count: number) {
    this.#free = count;
  }

  async begin(): Promise<void> {
    if (this.#free > 0) this.#free--;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  end(): void {
    const next = this.#waiting.shift();
    if (next) next();
    else this.#free++;
  }
}

const all = new Turns(MAX_AT_ONCE);

/** Finds the addresses of names for one sandbox, as this host does: hosts file, VPN and all. */
export class NameResolver {
  readonly #server: string | undefined;
  readonly #kept = new Map<
    string,
    { readonly until: number; readonly addresses: Promise<readonly IpAddress[]> }
  >();
  readonly #own = new Turns(MAX_OF_ONE);

  /** @param server ADDRESS:PORT of a name server to ask instead, for tests */
  constructor(server?: string) {
    this.#server = server;
  }

  /** The addresses of a name, none if it has none or cannot be looked up. */
  resolve(name: string): Promise<readonly IpAddress[]> {
    const now = Date.now();
    const kept = this.#kept.get(name);
    if (kept !== undefined && kept.until > now) return kept.addresses;
    const addresses = this.#lookUp(name).catch(() => []);
    this.#kept.delete(name);
    this.#kept.set(name, { until: now + KEEP_MS, addresses });
    const [oldest] = this.#kept.keys();
    if (this.#kept.size > MAX_KEPT && oldest !== undefined) this.#kept.delete(oldest);
    void addresses.then((found) => {
      if (found.length === 0 && this.#kept.get(name)?.addresses === addresses) this.#kept.delete(name);
    });
    return addresses;
  }

  /** One that takes too long is given up, and has its turn until it is really over. */
  async #lookUp(name: string): Promise<readonly IpAddress[]> {
    await this.#own.begin();
    await all.begin();
    const found = this.#server === undefined ? ofHost(name) : ofServer(this.#server, name);
    const over = (): void => {
      all.end();
      this.#own.end();
    };
    found.then(over, over);
    const texts = await Promise.race([found, late()]);
    return texts
      .map(parseIp)
      .filter((address) => address !== undefined)
      .slice(0, MAX_ADDRESSES);
  }
}

async function late(): Promise<never> {
  await new Promise((resolve) => setTimeout(resolve, TIMEOUT_MS).unref());
  throw new Error("the name server does not answer");
}

async function ofHost(name: string): Promise<string[]> {
  return (await lookup(name, { all: true, verbatim: true })).map(({ address }) => address);
}

async function ofServer(server: string, name: string): Promise<string[]> {
  const resolver = new Resolver({ timeout: TIMEOUT_MS / 2, tries: 1 });
  resolver.setServers([server]);
  const all = await Promise.allSettled([resolver.resolve4(name), resolver.resolve6(name)]);
  return all.flatMap((one) => (one.status === "fulfilled" ? one.value : []));
}
