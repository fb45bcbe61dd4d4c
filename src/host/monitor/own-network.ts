/** A network that a program has to itself, with a packet filter, connected to the host's (monitor/src/network.rs). */
export interface OwnNetwork {
  /** path of nft */
  readonly nft: string;
  /** the packet filter, in its language */
  readonly rules: string;
  /** its set, empty, in which this machine's own addresses shall be, as they are then and later: family, table and name */
  readonly ownSet: string;
  /** the program that connects a process's network to the host's, and its arguments: all but the last, the process */
  readonly connector: readonly string[];
  /** name of the interface that this makes in there, unless it is there already: then its end, for which the program's owner waits, takes no time */
  readonly uplink: string;
  /** a tap in it for the guest, which the program gets as descriptor {@link TAP_DESCRIPTOR}; absent: the program dials for its guest */
  readonly tap?: OwnTap | undefined;
}

/** Such a tap. */
export interface OwnTap {
  /** the interface, letters and digits */
  readonly name: string;
  /** the network's own address on it, e.g. "10.0.2.2/24" */
  readonly address: string;
  readonly mtu: number;
  /** how fast packets may come to the guest; absent: as fast as they do */
  readonly bytesPerSecond?: number | undefined;
}

/** As which a program finds its tap open (monitor/src/guest_tap.rs). */
export const TAP_DESCRIPTOR = 4;

/** The monitor's arguments for one. Pure. */
export function ownNetworkArgs({ nft, rules, ownSet, connector, uplink, tap }: OwnNetwork): string[] {
  return [
    ...["--nft", nft, "--net-rules", rules, "--own-set", ownSet],
    ...[...connector.flatMap((word) => ["--connector", word]), "--uplink", uplink],
    ...(tap === undefined
      ? []
      : ["--guest-tap", [tap.name, tap.address, tap.mtu, tap.bytesPerSecond ?? 0].join(",")]),
  ];
}
