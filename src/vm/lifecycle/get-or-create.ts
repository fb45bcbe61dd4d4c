import { all, type Check, matching, requireOption, text } from "../../config/checks.ts";
import type { Limits } from "../../config/options.ts";
import { isSmolVMError } from "../../errors.ts";
import type { Deadline } from "../../util/deadline.ts";
import type { Home } from "../home.ts";
import type { VmRef } from "../recovery/deleted.ts";
import { recover } from "../recovery/recover.ts";

/** How often is looked whether the sandbox of a key, which somebody removes, is gone. */
const RETRY_MS = 20;

const checkKey: Check = all(text, matching(/^.{1,1024}$/su, "is longer than 1,024 characters"), (value) =>
  (value as string).isWellFormed() ? undefined : "is no well-formed Unicode",
);

/**
 * The sandbox of a key, running: the one that there is, or a new one. Of several who ask for it at the same moment one makes it.
 * @param how `open` starts the one that there is, `make` makes and starts it
 * @throws SmolVMError CONFIG_INVALID for what is no key; what starting and making throw
 */
export async function findOrMake<Vm>(
  home: Home,
  key: string,
  deadline: Deadline,
  how: {
    readonly open: (vm: VmRef, limits: Limits) => Promise<Vm>;
    readonly make: (limits: Limits) => Promise<Vm>;
  },
): Promise<Vm> {
  requireOption("key", key, checkKey);
  for (;;) {
    deadline.check();
    const found = home.store.vms.findByKey(key);
    try {
      if (!found) return await how.make(deadline.limits);
      const record = await recover(home, found);
      if (record.state !== "deleting") return await how.open(record, deadline.limits);
    } catch (error) {
      if (!othersWereFaster(error, key)) throw error;
    }
    await deadline.sleep(RETRY_MS);
  }
}

/** Others have made it, or removed it, since we looked. */
function othersWereFaster(error: unknown, key: string): boolean {
  if (!isSmolVMError(error)) return false;
  return error.code === "VM_NOT_FOUND" || (error.code === "VM_NAME_TAKEN" && error.details.key === key);
}
