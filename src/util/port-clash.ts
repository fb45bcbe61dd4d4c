/** What of a forward counts. */
interface Forward {
  readonly guestPort: number;
  readonly hostPort?: number | undefined;
  readonly hostAddress?: string | undefined;
}

/** Two forwards that cannot both be: their places in the list, the earlier first, and what both would use. */
export interface PortClash {
  readonly at: readonly [number, number];
  readonly of: "host" | "guest";
}

/**
 * The first two of these forwards that would use the same port of the same address of the host, or that are one and the same because a free port is
 * to be found for one of them. Pure.
 */
export function portClash(forwards: readonly Forward[]): PortClash | undefined {
  for (const [second, b] of forwards.entries()) {
    for (const [first, a] of forwards.slice(0, second).entries()) {
      if ((a.hostAddress ?? "127.0.0.1") !== (b.hostAddress ?? "127.0.0.1")) continue;
      if (a.hostPort !== undefined && a.hostPort === b.hostPort) return { at: [first, second], of: "host" };
      if (a.guestPort === b.guestPort && (a.hostPort === undefined || b.hostPort === undefined))
        return { at: [first, second], of: "guest" };
    }
  }
  return undefined;
}
