import { SmolVMError } from "../../errors.ts";
import { SmolVM } from "../../smolvm.ts";
import { conditionOf } from "../../vm/info/condition.ts";
import { pausedError } from "../../vm/recovery/running.ts";

/**
 * The sandbox of that name, which has to be running, about to be, or one that is meant to start by itself: the library would also start one that
 * never was, which takes seconds that nobody asked for here.
 * @throws SmolVMError VM_NOT_FOUND; VM_STATE with the exact start command
 */
export async function runningSandbox(name: string): Promise<SmolVM> {
  const vm = await conditionOf(name);
  const { state, error, autoStart } = vm;
  if (state === "running" || state === "starting" || autoStart) return SmolVM.from(vm);
  if (state === "paused") throw pausedError(vm.name);
  const why = error === undefined ? "" : ` (${error.message})`;
  throw new SmolVMError(
    "VM_STATE",
    `sandbox '${vm.name}' is ${STATE_WORDS[state] ?? state}, not running${why}`,
    {
      hint: `Start it: smolvm start ${vm.name}`,
      details: { state, error },
    },
  );
}

const STATE_WORDS: Readonly<Record<string, string>> = { error: "in the state error" };
