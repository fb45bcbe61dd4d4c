import { expect, test } from "vitest";
import { drift } from "../../../src/network/drift.ts";

const WANTED = `table inet smolvm {
	chain through {
		type filter hook forward priority filter - 10; policy accept;
		iifname "smolvm*" oifname "smolvm*" drop
		iifname "smolvm*" ip daddr @not_public drop
	}
	chain host {
		iifname "smolvm*" drop
	}
}
`;

test("the same rules are no difference, however they are indented", () => {
  expect(drift(WANTED, WANTED.replaceAll("\t", "  "))).toBeUndefined();
});

test("what is missing and what was added is named with its chain", () => {
  const live = WANTED.replace('\t\tiifname "smolvm*" ip daddr @not_public drop\n', "").replace(
    "\tchain host {\n",
    "\tchain host {\n\t\ttcp dport 22 accept\n",
  );
  expect(drift(WANTED, live)).toEqual({
    missing: ['inet chain through: iifname "smolvm*" ip daddr @not_public drop'],
    added: ["inet chain host: tcp dport 22 accept"],
  });
});
