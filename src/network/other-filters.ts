/** Another packet filter of the host's that drops what sandboxes with taps send or get. */
export interface OtherFilter {
  /** e.g. "Docker" */
  readonly whose: string;
  /** where it drops: "ip filter FORWARD" */
  readonly where: string;
  /** the commands that let the taps through */
  readonly fix: string;
}

/** A chain of `nft --json list ruleset` (libnftables-json(5)). */
interface Chain {
  readonly family: string;
  readonly table: string;
  readonly name: string;
  readonly hook?: string;
  readonly policy?: string;
}

const OWN_TABLE = "smolvm";
/** How taps are called, in iptables' and firewalld's way, and in nft's. */
const TAPS = "smolvm+";
const TAPS_OF_NFT = "'smolvm*'";
/** The families whose chains see a tap's packets that are passed on: IPv6 of theirs is not. */
const FAMILIES: readonly string[] = ["ip", "inet"];

/**
 * The filters that drop forwarded packets unless they are told not to, and were not told of taps. A packet must pass all of
 * them: what ours accepts another may still drop. Pure.
 * @param ruleset what `nft --json list ruleset` printed
 */
export function otherFilters(ruleset: string): OtherFilter[] {
  const entries = parse(ruleset);
  const chains = entries.flatMap(({ chain }) => (isChain(chain) ? [chain] : []));
  return chains
    .filter(
      ({ family, table, hook }) => FAMILIES.includes(family) && table !== OWN_TABLE && hook === "forward",
    )
    .filter((chain) => chain.policy === "drop" || chain.table === "firewalld" || endsInNo(entries, chain))
    .filter(({ family, table }) => !mentionsTaps(entries, family, table))
    .map((chain) => filterOf(chain, chains));
}

function filterOf({ family, table, name }: Chain, chains: readonly Chain[]): OtherFilter {
  const where = `${family} ${table} ${name}`;
  const has = (wanted: string): boolean =>
    chains.some((chain) => chain.family === family && chain.table === table && chain.name === wanted);
  if (table === "firewalld")
    return {
      whose: "firewalld",
      where,
      fix: `sudo firewall-cmd --permanent --zone=trusted --add-interface=${TAPS} && sudo firewall-cmd --reload`,
    };
  // By its own command, which it keeps; answers it lets through anyway.
  if (has("ufw-user-forward")) return { whose: "ufw", where, fix: `sudo ufw route allow in on ${TAPS}` };
  if (has("DOCKER-USER")) return { whose: "Docker", where, fix: letThrough("DOCKER-USER") };
  // What iptables keeps is told by its own program, so that it is saved as its user saves the rest.
  const isOfIptables = family === "ip" && table === "filter" && name === "FORWARD";
  const fix = isOfIptables ? letThrough(name) : letThroughByNft(where);
  return { whose: "another packet filter", where, fix };
}

/** What taps send, and the answers. */
function letThrough(chain: string): string {
  const insert = `sudo iptables -I ${chain}`;
  return `${insert} -i ${TAPS} -j ACCEPT && ${insert} -o ${TAPS} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT`;
}

function letThroughByNft(where: string): string {
  const insert = `sudo nft insert rule ${where}`;
  return `${insert} iifname ${TAPS_OF_NFT} accept && ${insert} oifname ${TAPS_OF_NFT} ct state established,related accept`;
}

/** What a rule may have besides its verdict, and be one for all packets. */
const WITHOUT_CONDITION: readonly string[] = ["counter", "log", "drop", "reject"];

/** Whether a chain has a rule that drops or rejects whatever comes to it. */
function endsInNo(entries: readonly Entry[], { family, table, name }: Chain): boolean {
  return entries.some(({ rule }) => {
    if (!isRecord(rule) || rule.family !== family || rule.table !== table || rule.chain !== name)
      return false;
    const parts = Array.isArray(rule.expr) ? rule.expr.filter(isRecord).flatMap(Object.keys) : [];
    const isNo = parts.includes("drop") || parts.includes("reject");
    return isNo && parts.every((part) => WITHOUT_CONDITION.includes(part));
  });
}

function mentionsTaps(entries: readonly Entry[], family: string, table: string): boolean {
  return entries.some(({ rule, element, set }) =>
    [rule, element, set].some(
      (part) =>
        isRecord(part) &&
        part.family === family &&
        part.table === table &&
        JSON.stringify(part).includes(OWN_TABLE),
    ),
  );
}

type Entry = Readonly<Record<string, unknown>>;

function parse(ruleset: string): Entry[] {
  try {
    const { nftables } = JSON.parse(ruleset) as { nftables?: unknown };
    return Array.isArray(nftables) ? nftables.filter(isRecord) : [];
  } catch {
    return [];
  }
}

function isRecord(value: unknown): value is Entry {
  return typeof value === "object" && value !== null;
}

function isChain(value: unknown): value is Chain {
  return isRecord(value) && [value.family, value.table, value.name].every((part) => typeof part === "string");
}
