/** An address of the internet protocol. One of IPv4 that is written as IPv6 (`::ffff:a.b.c.d`) is an IPv4 address. */
export interface IpAddress {
  readonly family: 4 | 6;
  /** 4 or 16 octets */
  readonly bytes: readonly number[];
}

/** All addresses that begin alike. */
export interface Cidr {
  readonly address: IpAddress;
  /** bits that count */
  readonly prefix: number;
}

const MAPPED: readonly number[] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];

/** The address of these octets, undefined for another number of them than 4 and 16. Pure. */
export function ipOfBytes(bytes: readonly number[] | Uint8Array): IpAddress | undefined {
  const octets = [...bytes];
  if (octets.length === 4) return { family: 4, bytes: octets };
  if (octets.length !== 16) return undefined;
  if (MAPPED.every((octet, at) => octets[at] === octet)) return { family: 4, bytes: octets.slice(12) };
  return { family: 6, bytes: octets };
}

/**
 * An address from text, undefined for anything else: IPv4 as four decimal numbers without leading zeros and nothing else (`127.1`, `0x7f000001` and
 * the like are none), IPv6 as RFC 4291 has it, without a zone. Pure.
 */
export function parseIp(text: string): IpAddress | undefined {
  return text.includes(":") ? parseV6(text) : parseV4(text);
}

/** Whether text is an address that a server could listen on: one of IPv6 may have a zone (`fe80::1%eth0`). Pure. */
export function isListenAddress(text: string): boolean {
  return parseIp(text.includes(":") ? text.replace(/%[\w.-]+$/, "") : text) !== undefined;
}

function parseV4(text: string): IpAddress | undefined {
  const parts = text.split(".");
  if (parts.length !== 4) return undefined;
  if (!parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) <= 255)) return undefined;
  return { family: 4, bytes: parts.map(Number) };
}

function parseV6(text: string): IpAddress | undefined {
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const [head, tail] = halves.map((half, at) => groupsOf(half, at === halves.length - 1));
  if (head === undefined || (halves.length === 2 && tail === undefined)) return undefined;
  if (halves.length === 1) return head.length === 16 ? ipOfBytes(head) : undefined;
  const missing = 16 - head.length - tail!.length;
  return missing < 2 ? undefined : ipOfBytes([...head, ...new Array<number>(missing).fill(0), ...tail!]);
}

/** The octets of groups between colons; the last of all may be an IPv4 address. */
function groupsOf(text: string, isEnd: boolean): number[] | undefined {
  if (text === "") return [];
  const groups = text.split(":");
  const octets: number[] = [];
  for (const [at, group] of groups.entries()) {
    if (group.includes(".")) {
      const v4 = isEnd && at === groups.length - 1 ? parseV4(group) : undefined;
      if (v4 === undefined) return undefined;
      octets.push(...v4.bytes);
    } else {
      if (!/^[0-9a-fA-F]{1,4}$/.test(group)) return undefined;
      const value = Number.parseInt(group, 16);
      octets.push(value >> 8, value & 0xff);
    }
  }
  return octets.length > 16 ? undefined : octets;
}

/** An address as text; IPv6 as RFC 5952 has it. Pure. */
export function formatIp({ family, bytes }: IpAddress): string {
  if (family === 4) return bytes.join(".");
  const groups = Array.from({ length: 8 }, (_, at) => bytes[2 * at]! * 256 + bytes[2 * at + 1]!);
  // The longest run of zeros, the first of them, of at least two.
  let [from, length] = [-1, 1];
  for (let at = 0; at < 8; at++) {
    let end = at;
    while (end < 8 && groups[end] === 0) end++;
    if (end - at > length) [from, length] = [at, end - at];
  }
  const text = (part: readonly number[]): string => part.map((group) => group.toString(16)).join(":");
  if (from < 0) return text(groups);
  return `${text(groups.slice(0, from))}::${text(groups.slice(from + length))}`;
}

/** "10.0.0.0/8", "fd00::/8", or an address alone. Undefined for anything else, also where bits behind the prefix are set. Pure. */
export function parseCidr(text: string): Cidr | undefined {
  const [base = "", bits, ...more] = text.split("/");
  const address = parseIp(base);
  if (address === undefined || more.length > 0) return undefined;
  const max = address.bytes.length * 8;
  if (bits === undefined) return { address, prefix: max };
  if (!/^(0|[1-9]\d{0,2})$/.test(bits)) return undefined;
  // Of ::ffff:10.0.0.0/104 the address has become one of IPv4.
  const prefix = Number(bits) - (address.family === 4 && base.includes(":") ? 96 : 0);
  if (prefix < 0 || prefix > max) return undefined;
  return sameBits(address.bytes, maskOf(address.bytes, prefix), max) ? { address, prefix } : undefined;
}

/** The range that an address is in, as text, where bits behind the prefix are set: "10.0.0.0/8" of "10.0.0.1/8". Undefined for anything else. Pure. */
export function rangeOf(text: string): string | undefined {
  const [base = "", bits = "", ...more] = text.split("/");
  const address = parseIp(base);
  const max = (address?.bytes.length ?? 0) * 8;
  if (address === undefined || more.length > 0 || !/^(0|[1-9]\d{0,2})$/.test(bits) || Number(bits) > max)
    return undefined;
  const range = `${formatIp({ ...address, bytes: maskOf(address.bytes, Number(bits)) })}/${bits}`;
  return parseCidr(text) === undefined ? range : undefined;
}

function maskOf(bytes: readonly number[], prefix: number): number[] {
  return bytes.map((octet, at) => {
    const bits = Math.min(8, Math.max(0, prefix - 8 * at));
    return octet & (0xff << (8 - bits)) & 0xff;
  });
}

function sameBits(a: readonly number[], b: readonly number[], prefix: number): boolean {
  const [left, right] = [maskOf(a, prefix), maskOf(b, prefix)];
  return left.every((octet, at) => octet === right[at]);
}

/** Whether an address is one of them. Pure. */
export function isIn(address: IpAddress, cidr: Cidr): boolean {
  return address.family === cidr.address.family && sameBits(address.bytes, cidr.address.bytes, cidr.prefix);
}

/** Whether all of `inner` is in `outer`. Pure. */
export function isWithin(inner: Cidr, outer: Cidr): boolean {
  return inner.prefix >= outer.prefix && isIn(inner.address, outer);
}
