import { expect, test } from "vitest";
import { otherFilters } from "../../../src/network/other-filters.ts";

/** What nft says of a chain that sees packets which are passed on, and of its rules. */
function ruleset(
  { family = "ip", table = "filter", name = "FORWARD", policy = "drop" },
  ...rules: readonly object[][]
): string {
  const place = { family, table };
  const chain = { ...place, name, type: "filter", hook: "forward", prio: 0, policy };
  const entries = rules.map((expr) => ({ rule: { ...place, chain: name, expr } }));
  return JSON.stringify({ nftables: [{ metainfo: {} }, { table: place }, { chain }, ...entries] });
}

const taps = { match: { op: "==", left: { meta: { key: "iifname" } }, right: "smolvm*" } };
const port = { match: { op: "==", left: { payload: {} }, right: 22 } };

test.each([
  ["has a policy that drops", ruleset({ family: "inet", table: "mine", name: "on_their_way" })],
  ["ends by rejecting the rest", ruleset({ policy: "accept" }, [{ counter: {} }, { reject: {} }])],
  [
    "drops the rest, and notes it",
    ruleset({ policy: "accept" }, [port, { accept: null }], [{ log: null }, { drop: null }]),
  ],
])("a filter that %s is in the way of taps", (_what, text) => {
  expect(otherFilters(text)).toHaveLength(1);
});

test.each([
  ["knows of taps", ruleset({}, [taps, { accept: null }])],
  ["is for IPv6, which taps have not", ruleset({ family: "ip6" })],
  ["drops what is not theirs", ruleset({ policy: "accept" }, [port, { drop: null }])],
  ["is ours", ruleset({ family: "inet", table: "smolvm", name: "through" })],
  ["is none", "nothing of JSON"],
])("one that %s is not", (_what, text) => {
  expect(otherFilters(text)).toEqual([]);
});

test("what is to be done is said in the language of who keeps it", () => {
  expect(otherFilters(ruleset({}))[0]?.fix).toMatch(
    /^sudo iptables -I FORWARD -i smolvm\+ -j ACCEPT && sudo iptables /,
  );
  const [own] = otherFilters(ruleset({ family: "inet", table: "mine", name: "on_their_way" }));
  expect(own).toEqual({
    whose: "another packet filter",
    where: "inet mine on_their_way",
    fix: "sudo nft insert rule inet mine on_their_way iifname 'smolvm*' accept && sudo nft insert rule inet mine on_their_way oifname 'smolvm*' ct state established,related accept",
  });
});
