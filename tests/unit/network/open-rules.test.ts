import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { isIpv4, nameServers, type OpenRule, openRules } from "../../../src/network/open-rules.ts";
import { OWN_SET, renderNft } from "../../../src/network/render-nft.ts";
import { renderPreload } from "../../../src/network/render-preload.ts";
import { type Cidr, parseCidr } from "../../../src/util/ip-address.ts";
import { METADATA_IPV4, SPECIAL_IPV4 } from "../../../src/util/special-ranges.ts";
import { CHECKOUT } from "../../helpers/cli.ts";

const cidrs = (...texts: string[]): Cidr[] => texts.map((text) => parseCidr(text)!);
const RULES = openRules(["10.1.2.3"]);
const OWN = cidrs("93.184.216.1", "fd00::1", "93.184.216.1");

/** What the first rule that matches says of a destination, on a machine that has one address. */
function verdict(rules: readonly OpenRule[], address: string, port: number): string {
  const number = (text: string): number => text.split(".").reduce((sum, part) => sum * 256 + Number(part), 0);
  const list = (networks: OpenRule["networks"]): readonly string[] =>
    networks === "own" ? ["93.184.216.1"] : networks;
  const within = (network: string): boolean => {
    const [base = "", bits = "32"] = network.split("/");
    const size = 2 ** (32 - Number(bits));
    return Math.floor(number(address) / size) === Math.floor(number(base) / size);
  };
  const found = rules.find(
    ({ networks, ports }) =>
      (networks.length === 0 || list(networks).some(within)) && (ports.length === 0 || ports.includes(port)),
  );
  return found?.verdict ?? "accept";
}

describe("the rules of an open network", () => {
  test.each([
    ["93.184.216.34", 443, "accept"],
    ["8.8.8.8", 80, "accept"],
    ["10.1.2.3", 53, "accept"], // the resolver, which is private
    ["10.1.2.3", 80, "refuse"], // and nothing else of it
    ["8.8.8.8", 53, "refuse"],
    ["8.8.8.8", 853, "refuse"],
    ["93.184.216.1", 22, "refuse"], // the host's own
    ["93.184.216.2", 22, "accept"],
    ["127.0.0.1", 22, "refuse"],
    ["169.254.169.254", 80, "refuse"],
    ["168.63.129.16", 80, "refuse"], // Azure's, which is public
    ["168.63.129.15", 80, "accept"],
    ["10.0.0.1", 80, "refuse"],
    ["172.16.0.1", 80, "refuse"],
    ["172.31.255.255", 80, "refuse"],
    ["172.32.0.1", 80, "accept"],
    ["192.168.1.1", 80, "refuse"],
    ["100.64.0.1", 80, "refuse"],
    ["100.128.0.1", 80, "accept"],
    ["224.0.0.251", 5353, "refuse"],
    ["255.255.255.255", 67, "refuse"],
    ["0.0.0.0", 80, "refuse"],
  ])("say of %s, port %i: %s", (address, port, expected) => {
    expect(verdict(RULES, address, port)).toBe(expected);
  });

  test("have the same networks as those of taps", () => {
    const script = readFileSync(join(CHECKOUT, "scripts/setup/network"), "utf8");
    const set = /set not_public \{.*?elements = \{(.*?) \}\n/s.exec(script)?.[1] ?? "";
    const privates = /private_networks='(.+?)'/.exec(script)?.[1] ?? "";
    // biome-ignore lint/suspicious/noTemplateCurlyInString: a variable of the shell's
    const all = set.replace("${private_networks}", privates).split(",");
    expect(all.map((network) => network.trim()).sort()).toEqual([...SPECIAL_IPV4].sort());
    const metadata = /set metadata \{.*?elements = \{ (.*?) \}\n/s.exec(script)?.[1] ?? "";
    expect(metadata.split(", ")).toEqual(METADATA_IPV4);
  });
});

test("a packet filter has each of this machine's networks once, and none that lies in another", () => {
  const own = cidrs("127.0.0.0/8", "127.0.0.1", "203.0.114.0/24", "203.0.114.7", "93.184.216.1", "fd00::1");
  expect(renderNft(RULES, undefined, own)).toContain(
    "    flags interval\n    elements = { 127.0.0.0/8, 203.0.114.0/24, 93.184.216.1/32 }\n  }\n",
  );
  expect(renderNft(RULES)).toContain("    flags interval\n  }\n");
  const [family, table, set] = OWN_SET.split(" ");
  expect(renderNft(RULES)).toContain(`table ${family} ${table} {\n  set ${set} {\n`);
});

test("as a packet filter they judge what is sent, by its destination, and drop all that is not IPv4", () => {
  expect(renderNft(RULES, undefined, OWN)).toBe(`table inet smolvm {
  set own {
    type ipv4_addr
    flags interval
    elements = { 93.184.216.1/32 }
  }
  chain out {
    type filter hook output priority filter; policy drop;
    ip daddr { 10.1.2.3/32 } meta l4proto { tcp, udp } th dport { 53 } accept
    meta l4proto { tcp, udp } th dport { 53, 853 } reject with icmpx type admin-prohibited
    ip daddr { ${SPECIAL_IPV4.join(", ")} } reject with icmpx type admin-prohibited
    ip daddr { ${METADATA_IPV4.join("/32, ")}/32 } reject with icmpx type admin-prohibited
    ip daddr @own reject with icmpx type admin-prohibited
    meta nfproto ipv4 accept
  }
  chain in {
    type filter hook input priority filter; policy drop;
    iifname "lo" accept
    ct state established,related accept
  }
}
`);
});

test("with a guest's tap the same rules judge what is passed on, from one address and in whole packets", () => {
  const rules = openRules(["169.254.1.1"]);
  const text = renderNft(rules, { tap: "guest", address: "10.0.2.15" });
  const chain = (name: string): string[] =>
    text
      .split(`  chain ${name} {\n`)[1]!
      .split("  }")[0]!
      .trim()
      .split("\n")
      .map((line) => line.trim());
  const [, ...sent] = chain("out");
  const [hook, ...passed] = chain("through");
  expect(hook).toBe("type filter hook forward priority filter; policy drop;");
  // What the VMM itself sends is judged as without a tap.
  expect(sent[0]).toBe('oifname "guest" meta l4proto icmp accept');
  expect(renderNft(rules)).toContain(sent.slice(1).join("\n    "));
  expect(passed.filter((rule) => sent.slice(1).includes(rule.replace('iifname "guest" ', "")))).toHaveLength(
    sent.length - 1,
  );
  expect(passed.at(-1)).toBe('oifname "guest" ct state established,related accept');
  expect(chain("source")).toContain('iifname "guest" ip saddr != 10.0.2.15 drop');
  expect(chain("fragments")).toContain('iifname "guest" ip frag-off & 0x3fff != 0 drop');
});

test("for the library within QEMU they are numbers", () => {
  const entries = renderPreload(RULES).split(" ");
  expect(entries.slice(0, 4)).toEqual([
    "+0a010203/20:0035",
    "-00000000/00:0035",
    "-00000000/00:0355",
    "-00000000/08:0000",
  ]);
  expect(entries.at(-1)).toBe("@"); // what is this machine's own then
});

test("the name servers of a resolv.conf are those that a resolver asks, as far as they are IPv4", () => {
  const text =
    "# nameserver 9.9.9.9\nsearch example\nnameserver fd00::1\nnameserver 127.0.0.53\nnameserver 10.1.2.3 \n";
  expect(nameServers(text)).toEqual(["127.0.0.53", "10.1.2.3"]);
  expect(nameServers("nameserver 1.1.1.1\n".repeat(5))).toHaveLength(3);
  expect(nameServers("nameserver 1.1.1.1;drop\nnameserver 1.2.3.999")).toEqual([]);
});

test.each([
  ["1.2.3.4", true],
  ["1.2.3", false],
  ["1.2.3.256", false],
  ["1.2.3.4 ", false],
  ["::1", false],
])("%j is an IPv4 address: %s", (text, expected) => {
  expect(isIpv4(text)).toBe(expected);
});
