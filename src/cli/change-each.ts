import type { Limits } from "../config/options.ts";
import { SmolVM } from "../smolvm.ts";
import { timeoutOption } from "./args/duration.ts";
import type { Arguments } from "./arguments.ts";
import type { Outcome } from "./command.ts";
import { changeEachName } from "./each.ts";
import type { Io } from "./io.ts";

/** Does the same to each sandbox that is named, within --timeout each, and tells what they are then; prints the names. */
export async function changeEach(
  io: Io,
  args: Arguments,
  act: (vm: SmolVM, limits: Limits) => Promise<void>,
): Promise<Outcome> {
  const limits = { timeoutMs: timeoutOption(args), signal: io.interrupts.signal };
  return await changeEachName(io, args.operands, async (name) => {
    const vm = await SmolVM.get(name);
    await act(vm, limits);
    const info = await vm.info();
    await vm[Symbol.asyncDispose]();
    return info;
  });
}
