import { hold } from "../../agent/machine.ts";
import { runCommand } from "../../agent/process/exec.ts";
import type { AgentSession } from "../../agent/session/session.ts";
import { SmolVMError } from "../../errors.ts";
import { failpoint } from "../../host/failpoint.ts";
import type { PoolRecord } from "../../store/pools.ts";
import type { Deadline } from "../../util/deadline.ts";
import type { Home } from "../home.ts";
import { createVm } from "../lifecycle/create.ts";
import { newId } from "../lifecycle/names.ts";
import { own } from "../lifecycle/owned.ts";
import { removeVm } from "../lifecycle/remove.ts";
import { startNewVm } from "../lifecycle/start.ts";
import { checkPoolConfig } from "./options.ts";

/** What is run in each before it waits: what a first command needs is in its memory then, and under emulation translated. */
const WARM_UP = ["/bin/sh", "-c", "echo hi"];

/**
 * Makes a sandbox that waits in a pool: started, warmed up, and held until somebody takes it.
 * @throws SmolVMError as createVm and startVm
 */
export async function makeMember(home: Home, pool: PoolRecord, deadline: Deadline): Promise<void> {
  const id = newId();
  const vm = { id, name: `pool-${pool.name.slice(0, 40)}-${id}`, pool: pool.name };
  const lifetime = pool.keeper === undefined ? "detached" : "owner";
  try {
    await createVm(home, { ...checkPoolConfig(pool.config), lifetime }, vm, deadline);
    if (lifetime === "owner") own(id, home);
    // Until it is held nobody may take it: what he ran in it would be frozen.
    const prepare = async (session: AgentSession): Promise<void> => {
      await warmUp(() => runCommand(session, WARM_UP, deadline.limits), deadline);
      await hold(session, deadline.limits);
      failpoint("before ready");
      await session.close();
    };
    await startNewVm(home, vm, deadline, { prepare });
  } catch (error) {
    await removeVm(home, id, { force: true }, deadline).catch(() => {}); // the first failure is the one to tell
    throw error;
  }
}

async function warmUp(run: () => Promise<unknown>, deadline: Deadline): Promise<void> {
  try {
    await run();
  } catch (error) {
    deadline.check();
    if (!(error instanceof SmolVMError) || error.code === "AGENT_LOST") throw error;
    // An image without a shell: what there is to warm is warm.
  }
}
