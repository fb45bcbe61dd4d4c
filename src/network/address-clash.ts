/** A route of the host's. */
export interface Route {
  readonly interface: string;
  /** its network as a number of 32 bits, and how many of them count */
  readonly network: number;
  readonly bits: number;
}

/** Why a route and the taps' addresses do not go together. */
export interface AddressClash {
  readonly route: Route;
  /** "taken": addresses of the taps' are somebody else's; "hidden": the route's network is larger, and its part is not reached from here */
  readonly kind: "taken" | "hidden";
}

/** Routes that stand for everywhere, in one piece or two, as a VPN makes them: nobody's network in particular. */
const EVERYWHERE_BITS = 7;
/** The taps' addresses are those of two numbers, as "10.213". */
const SUBNET_BITS = 16;

/**
 * The IPv4 routes of proc(5)'s net/route, but those of taps. Pure.
 * @param text the file: columns, of which destination and mask are hexadecimal in the byte order of the host, which is taken to be little-endian
 */
export function parseRoutes(text: string): Route[] {
  return text
    .split("\n")
    .slice(1)
    .map((line) => line.split(/\s+/))
    .filter(
      ([name, , , flags]) =>
        name && !/^smolvm\d+$/.test(name) && (Number.parseInt(flags ?? "0", 16) & 1) === 1,
    )
    .map((columns) => ({
      interface: columns[0] ?? "",
      network: reversed(columns[1] ?? ""),
      bits: [...reversed(columns[7] ?? "").toString(2)].filter((bit) => bit === "1").length,
    }));
}

function reversed(hex: string): number {
  const bytes = hex.match(/../g) ?? [];
  return Number.parseInt(bytes.reverse().join("") || "0", 16);
}

/** What of the host's routes is in the taps' way. Pure. */
export function addressClashes(subnet: string, routes: readonly Route[]): AddressClash[] {
  const [first = 0, second = 0] = subnet.split(".").map(Number);
  const own = first * 2 ** 24 + second * 2 ** 16;
  return routes
    .filter(({ network, bits }) => {
      const size = 2 ** (32 - Math.min(bits, SUBNET_BITS));
      return bits > EVERYWHERE_BITS && Math.floor(network / size) === Math.floor(own / size);
    })
    .map((route) => ({ route, kind: route.bits >= SUBNET_BITS ? "taken" : "hidden" }));
}

/** "10.0.0.0/8 (docker0)". Pure. */
export function routeText({ interface: name, network, bits }: Route): string {
  const address = [24, 16, 8, 0].map((shift) => Math.floor(network / 2 ** shift) % 256).join(".");
  return `${address}/${bits} (${name})`;
}
