import { basename } from "node:path";
import type { LaunchedMachine } from "../../backends/backend.ts";
import type { ReachedIsolation } from "../../config/spec.ts";
import { cgroupOfProcess, limitsInForce } from "../../host/linux/cgroup.ts";
import { LIMITS } from "../../isolation/limits.ts";
import { noScope, notLimited } from "../../isolation/scopes.ts";
import { type EnclosurePlan, inWords } from "../../isolation/tier.ts";
import { reachedNetwork, type UserNetworkPlan } from "../../network/user-network.ts";
import type { MadeEnclosure } from "./make-enclosure.ts";

/** What stands around a machine that was launched: of a scope's limits, those that the kernel has. */
export function reachedIsolation(
  plan: EnclosurePlan,
  { enclosure, limits }: MadeEnclosure,
  { vmm, scopeRefusal }: Pick<LaunchedMachine, "vmm" | "scopeRefusal">,
  userNetwork: UserNetworkPlan | undefined,
): ReachedIsolation {
  const { scope, user, tier } = enclosure;
  const { whyNotNext } = plan;
  const inForce = scope === undefined ? limits : limitsOfScope(scope.name, vmm.pid);
  const whyNotLimited =
    scope === undefined
      ? plan.whyNotLimited
      : scopeRefusal === undefined
        ? notLimited(LIMITS.filter((name) => inForce?.[name] !== undefined))
        : noScope(scopeRefusal);
  return {
    tier,
    uid: user?.uid,
    limits: inForce,
    ...(whyNotNext === undefined ? {} : { whyNotNext: whyNotNext.reason, fix: whyNotNext.fix }),
    ...(whyNotLimited === undefined ? {} : { whyNotLimited: inWords(whyNotLimited) }),
    ...(userNetwork === undefined ? {} : { userNetwork: reachedNetwork(userNetwork) }),
  };
}

/** What such a scope sets for a process; undefined: nothing, or it is in another. */
function limitsOfScope(name: string, pid: number): ReachedIsolation["limits"] {
  if (basename(cgroupOfProcess(pid) ?? "") !== name) return undefined;
  const limits = limitsInForce(pid);
  return Object.keys(limits).length === 0 ? undefined : limits;
}
