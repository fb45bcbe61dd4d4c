import { availableParallelism } from "node:os";
import type { Limits, VMConfig } from "../../config/options.ts";
import { SmolVMError } from "../../errors.ts";
import { requireObject } from "../../util/check-names.ts";
import { concurrently } from "../../util/concurrently.ts";
import { shown } from "../../util/shown.ts";

const MAX_COUNT = 1000;

/**
 * Makes several sandboxes of the same kind by `create`: all of them, or (when one fails) none.
 * @throws SmolVMError CONFIG_INVALID; as `create`, the first failure
 */
export async function createAll<Vm extends { delete(options: { force: true }): Promise<void> }>(
  count: number,
  options: VMConfig & Limits & { concurrency?: number },
  create: (options: VMConfig & Limits) => Promise<Vm>,
): Promise<Vm[]> {
  const { concurrency = availableParallelism(), signal, ...rest } = requireObject(options);
  requireCount("count", count);
  requireCount("concurrency", concurrency);
  if (count > 1 && rest.ports?.some(({ hostPort }) => hostPort !== undefined)) {
    throw new SmolVMError("CONFIG_INVALID", "several sandboxes cannot have the same host port", {
      hint: "Leave hostPort out: each gets a free one, see vm.ports.list().",
    });
  }
  if (count > 1 && rest.gdbPort !== undefined) {
    throw new SmolVMError("CONFIG_INVALID", "several sandboxes cannot have the same gdbPort");
  }
  const made: Vm[] = [];
  try {
    return await concurrently(count, concurrency, async (index, failed) => {
      const vm = await create({
        ...rest,
        ...(rest.name === undefined ? {} : { name: `${rest.name}-${index + 1}` }),
        signal: signal ? AbortSignal.any([signal, failed]) : failed,
      });
      made.push(vm);
      return vm;
    });
  } catch (error) {
    // The first failure is the one to tell; what cannot be removed now is found by the next command.
    await Promise.all(made.map((vm) => vm.delete({ force: true }).catch(() => {})));
    throw error;
  }
}

/** @throws SmolVMError CONFIG_INVALID */
function requireCount(what: string, value: number): void {
  if (Number.isInteger(value) && value >= 1 && value <= MAX_COUNT) return;
  throw new SmolVMError(
    "CONFIG_INVALID",
    `${what}: ${shown(value)} is not a whole number from 1 to ${MAX_COUNT}`,
  );
}
