import { type NetworkPolicy, parseRule } from "../../config/network-rules.ts";
import { SmolVMError } from "../../errors.ts";
import type { Arguments } from "../arguments.ts";

/**
 * Reads --allow and --deny.
 * @throws SmolVMError USAGE
 */
export function parseRules(args: Arguments): NetworkPolicy {
  const [allow, deny] = [args.values("allow"), args.values("deny")];
  for (const [flag, rules] of [
    ["--allow", allow],
    ["--deny", deny],
  ] as const)
    for (const rule of rules) check(flag, rule);
  return { allow, deny };
}

function check(flag: string, rule: string): void {
  const parsed = parseRule(rule);
  if (typeof parsed !== "string") return;
  throw new SmolVMError("USAGE", `${flag}: '${rule}' ${parsed}`, {
    hint: `Write a name (example.com, '*.example.com'), an address, a range (10.1.0.0/16) or '*', and behind a colon the port, if not all are meant: ${flag} example.com:443`,
  });
}
