import { type Cidr, type IpAddress, isIn, isWithin, parseCidr } from "../util/ip-address.ts";
import { METADATA_IPV4, SPECIAL_IPV4 } from "../util/special-ranges.ts";

const cidrs = (...texts: readonly string[]): readonly Cidr[] => texts.map((text) => parseCidr(text)!);

/** Ranges that are not of the public internet, multicast, and forms of IPv6 behind which is an address of IPv4 (RFC 6890 and the registries after it). */
const SPECIAL: readonly Cidr[] = cidrs(
  ...SPECIAL_IPV4,
  "::/128",
  "::1/128",
  "64:ff9b::/96",
  "64:ff9b:1::/48",
  "100::/64",
  "2001::/23",
  "2001:db8::/32",
  "2002::/16",
  "3fff::/20",
  "5f00::/16",
  "fc00::/7",
  "fe80::/10",
  "fec0::/10",
  "ff00::/8",
);
/** All of IPv6 that is given out (https://www.iana.org/assignments/ipv6-address-space); what is outside is for nobody, or special. */
const GLOBAL_V6 = parseCidr("2000::/3")!;
const LOOPBACK: readonly Cidr[] = cidrs("127.0.0.0/8", "::1/128");
/** Where clouds tell a machine who it is, and with which keys. */
const METADATA: readonly Cidr[] = cidrs(
  ...METADATA_IPV4,
  "fd00:ec2::254",
  "fd00:ec2::23",
  "fd20:ce::254",
  "fd00:c1::a9fe:a9fe",
);

/** Whether an address is one whole address. */
const isSingle = ({ address, prefix }: Cidr): boolean => prefix === address.bytes.length * 8;

/** Why an address is not one of the public internet. */
export type Special = "special-purpose" | "metadata" | "own-address";

/** Pure. @param own this host's addresses, and ranges that are its own */
export function specialOf(address: IpAddress, own: readonly Cidr[]): Special | undefined {
  if (METADATA.some((cidr) => isIn(address, cidr))) return "metadata";
  const ranges = rangesOf(address);
  // These are this host's, too, and are named by their range.
  if (LOOPBACK.some((range) => isIn(address, range))) return "special-purpose";
  if (own.some((one) => isIn(address, one))) return "own-address";
  return ranges.length > 0 ? "special-purpose" : undefined;
}

/**
 * Whether a range names an address that is not public: for a range of special purpose it must lie in that one (`0.0.0.0/0` means the internet, and no
 * private network), for metadata and this host's own addresses it must be the address. Pure.
 */
export function names(cidr: Cidr, address: IpAddress, special: Special): boolean {
  if (!isIn(address, cidr)) return false;
  if (special !== "special-purpose") return isSingle(cidr);
  return rangesOf(address).some((range) => isWithin(cidr, range));
}

function rangesOf(address: IpAddress): readonly Cidr[] {
  const found = SPECIAL.filter((range) => isIn(address, range));
  if (found.length > 0 || address.family === 4 || isIn(address, GLOBAL_V6)) return found;
  // The eighth of the space that it is in.
  return [
    {
      address: { family: 6, bytes: [address.bytes[0]! & 0xe0, ...new Array<number>(15).fill(0)] },
      prefix: 3,
    },
  ];
}
