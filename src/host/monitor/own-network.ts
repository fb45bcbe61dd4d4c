/** A network that a program has to itself, with a packet filter, connected to the host's (monitor/src/network.rs). */
export interface OwnNetwork {
  /** path of nft */
  readonly nft: string;
  /** the packet filter, in its language */
  readonly rules: string;
  /** the program that connects a process's network to the host's, and its arguments: all but the last, the process */
  readonly connector: readonly string[];
}

/** The monitor's arguments for one. Pure. */
export function ownNetworkArgs({ nft, rules, connector }: OwnNetwork): string[] {
  return ["--nft", nft, "--net-rules", rules, ...connector.flatMap((word) => ["--connector", word])];
}
