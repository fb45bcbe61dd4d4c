import { lookup, Resolver } from "node:dns/promises";
import { type IpAddress, parseIp } from "../util/ip-address.ts";

/** How long a name's addresses are kept, in ms: for what connects many times in a moment. */
const KEEP_MS = 5_000;
/** Names that are kept. */
const MAX_KEPT = 256;
/** Names that are looked up at once: more of a slow resolver's would keep this process's files waiting, which use the same threads. */
const MAX_AT_ONCE = 2;
/** How long a name may take, in ms. */
const TIMEOUT_MS = 10_000;
/** Addresses of one name that are looked at. */
const MAX_ADDRESSES = 16;

/** Finds the addresses of names, as this host does: hosts file, VPN and all. */
export class NameResolver {
  readonly #server: string | undefined;
  readonly #kept = new Map<
    string,
    { readonly until: number; readonly addresses: Promise<readonly IpAddress[]> }
  >();
  readonly #waiting: (() => void)[] = [];
  #busy = 0;

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

  async #lookUp(name: string): Promise<readonly IpAddress[]> {
    if (this.#busy >= MAX_AT_ONCE) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    else this.#busy++;
    try {
      const texts = await (this.#server === undefined ? ofHost(name) : ofServer(this.#server, name));
      return texts
        .map(parseIp)
        .filter((address) => address !== undefined)
        .slice(0, MAX_ADDRESSES);
    } finally {
      const next = this.#waiting.shift();
      if (next) next();
      else this.#busy--;
    }
  }
}

async function ofHost(name: string): Promise<string[]> {
  const found = await Promise.race([lookup(name, { all: true, verbatim: true }), late()]);
  return found.map(({ address }) => address);
}

async function late(): Promise<never> {
  await new Promise((resolve) => setTimeout(resolve, TIMEOUT_MS).unref());
  throw new Error("the name server does not answer");
}

async function ofServer(server: string, name: string): Promise<string[]> {
  const resolver = new Resolver({ timeout: TIMEOUT_MS / 2, tries: 1 });
  resolver.setServers([server]);
  const all = await Promise.allSettled([resolver.resolve4(name), resolver.resolve6(name)]);
  return all.flatMap((one) => (one.status === "fulfilled" ? one.value : []));
}
