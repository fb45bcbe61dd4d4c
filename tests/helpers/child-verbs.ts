/**
 * Run as a process of its own, with a channel to its parent: takes `{ name }`, gets that sandbox and says "armed"; then takes
 * `{ verb }`, makes that call and tells what came of it.
 */
import { SmolVM } from "./smolvm.ts";
import type { Verb } from "./verb-pairs.ts";
import { call } from "./verbs.ts";

let vm: InstanceType<typeof SmolVM> | undefined;
process.on("message", async ({ name, verb }: { name?: string; verb?: Verb }) => {
  if (name !== undefined) {
    vm = await SmolVM.get(name);
    process.send?.("armed");
  } else if (verb !== undefined) process.send?.(await call(vm!, verb));
});
