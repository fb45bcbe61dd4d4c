import type { NetworkPolicy } from "../../config/network-rules.ts";
import type { Limits } from "../../config/options.ts";
import type { NetworkEvent } from "../../egress/event.ts";
import { checkedPolicy, type NetworkRules } from "./rules.ts";

/** Options of `vm.network.events`. */
export interface NetworkEventsOptions extends Limits {
  /** also what comes from now on, until the sandbox has stopped; default false: what is kept, and then it ends */
  follow?: boolean | undefined;
}

/** What a sandbox with a restricted network may reach, and what became of its connections. */
export interface SandboxNetwork {
  /** Its rules now. @throws SmolVMError NOT_SUPPORTED if its network is not "restricted", VM_NOT_FOUND */
  rules(): Promise<{ allow: string[]; deny: string[] }>;
  /**
   * Replaces its rules, all of them at once: for new connections at once, and within a second for those that there are, which are reset if they are
   * allowed no more. The kind of network stays: another one is for another sandbox.
   * @throws SmolVMError CONFIG_INVALID, NOT_SUPPORTED if its network is not "restricted", VM_NOT_FOUND
   */
  set(rules: NetworkRules): Promise<void>;
  /**
   * What became of its connections, oldest first; about the last MiB is kept, until it is deleted.
   * @throws SmolVMError NOT_SUPPORTED if nothing is decided about them: its network is neither "restricted" nor an open one by the door; VM_NOT_FOUND; ABORTED or TIMEOUT by `signal` and `timeoutMs` (default: no limit)
   */
  events(options?: NetworkEventsOptions): AsyncGenerator<NetworkEvent, void, undefined>;
}

/** Where rules and events are. */
export interface NetworkStore {
  read(): NetworkPolicy;
  change(policy: NetworkPolicy): Promise<void>;
  events(options: NetworkEventsOptions): AsyncGenerator<NetworkEvent, void, undefined>;
}

/** A sandbox's network, as users see it. */
export function sandboxNetwork(store: NetworkStore): SandboxNetwork {
  return {
    rules: async () => {
      const { allow, deny } = store.read();
      return { allow: [...allow], deny: [...deny] };
    },
    set: async (rules) => store.change(checkedPolicy(rules)),
    events: (options = {}) => store.events(options),
  };
}
