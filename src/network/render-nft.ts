import type { OpenRule } from "./open-rules.ts";

/**
 * The packet filter of a network namespace in which a VMM is alone, in nft(8)'s language: what it sends is judged by the rules,
 * by its destination alone. What is refused is so at once, not after a timeout. IPv6 is closed.
 * Nothing comes in that it has not asked for, because nothing forwards ports into it. Pure.
 */
export function renderNft(rules: readonly OpenRule[]): string {
  return [
    "table inet smolvm {",
    "  chain out {",
    "    type filter hook output priority filter; policy drop;",
    ...rules.map((rule) => `    ${ruleText(rule)}`),
    "    meta nfproto ipv4 accept",
    "  }",
    "}",
    "",
  ].join("\n");
}

function ruleText({ verdict, networks, ports }: OpenRule): string {
  return [
    ...(networks.length === 0 ? [] : [`ip daddr { ${networks.join(", ")} }`]),
    ...(ports.length === 0 ? [] : [`meta l4proto { tcp, udp } th dport { ${ports.join(", ")} }`]),
    verdict === "accept" ? "accept" : "reject with icmpx type admin-prohibited",
  ].join(" ");
}
