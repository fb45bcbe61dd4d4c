import { invalidOption } from "../../config/checks.ts";
import { checkRules, MAX_RULES, type NetworkPolicy } from "../../config/network-rules.ts";
import { SmolVMError } from "../../errors.ts";
import { checkNames } from "../../util/check-names.ts";
import type { Home } from "../home.ts";
import type { VmRef } from "../recovery/deleted.ts";

/** New rules for a restricted network. What is not given is empty. */
export interface NetworkRules {
  /** the one that it has: another one is refused */
  mode?: "restricted";
  /** as in `network.allow` of {@link VMConfig} */
  allow?: readonly string[];
  /** as in `network.deny` of {@link VMConfig} */
  deny?: readonly string[];
}

/** Checks rules that replace others. @throws SmolVMError CONFIG_INVALID; NOT_SUPPORTED for another mode */
export function checkedPolicy(rules: NetworkRules): NetworkPolicy {
  checkNames(rules, ["mode", "allow", "deny"]);
  const { mode = "restricted", allow = [], deny = [] } = rules;
  if (mode !== "restricted") {
    throw new SmolVMError("NOT_SUPPORTED", "the mode of a sandbox's network cannot be changed", {
      hint: "Make another sandbox with that network; of this one the rules can be changed.",
      details: { mode },
    });
  }
  for (const [name, list] of Object.entries({ allow, deny })) {
    const problem = checkRules(list);
    if (problem !== undefined) throw invalidOption(name, list, problem);
  }
  if (allow.length + deny.length > MAX_RULES)
    throw invalidOption("allow", allow, `has, with deny, more than ${MAX_RULES} rules`);
  return { allow: [...allow], deny: [...deny] };
}

/**
 * Replaces the rules of a sandbox's restricted network.
 * @throws SmolVMError NOT_SUPPORTED if it has another network, VM_NOT_FOUND
 */
export function changeRules(home: Home, vm: VmRef, policy: NetworkPolicy): void {
  home.store.vms.changeSpec(vm.id, (spec) => {
    if (spec.openByDoor !== undefined) throw notRestricted(vm, "open");
    if (spec.machine.network !== "restricted") throw notRestricted(vm, spec.machine.network);
    return { ...spec, networkPolicy: policy };
  });
}

/** The mode of a network is the machine's: another one needs another sandbox. */
export function notRestricted({ name }: VmRef, mode: string, lacks = "rules"): SmolVMError {
  return new SmolVMError(
    "NOT_SUPPORTED",
    `the network of sandbox '${name}' is '${mode}', which has no ${lacks}`,
    {
      hint: "A sandbox keeps the kind of network that it was created with. Make another one: smolvm create --network restricted --allow example.com",
      details: { mode },
    },
  );
}
