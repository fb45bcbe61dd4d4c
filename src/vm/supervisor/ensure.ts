import { SmolVMError } from "../../errors.ts";
import { supervisorFiles } from "../../host/files/filenames.ts";
import { packageVersion } from "../../host/package.ts";
import type { Deadline } from "../../util/deadline.ts";
import { monotonicMs } from "../../util/monotonic.ts";
import { isOlder } from "../../util/versions.ts";
import type { Home } from "../home.ts";
import { startSupervisor, supervisorAllowed } from "../start-supervisor.ts";
import { ask } from "./ask.ts";
import type { SupervisorHello } from "./messages.ts";

/** The first pause between two looks whether the supervisor that was started answers. Node itself takes ten times as long to start. */
const LOOK_MS = 5;
/** Each pause is longer than the last, up to this: many who wait for it at once would keep it from its start. */
const MAX_LOOK_MS = 100;
/** How long one may take to answer, in ms. A host with very much else to do takes half a minute to start Node. */
const START_MS = 60_000;
/** So many are started, where each ends and leaves none that answers. */
const MAX_STARTS = 3;

/**
 * The home's supervisor answers: it is started if there is none, and replaced if it is older than this program.
 * @throws SmolVMError NOT_SUPPORTED where the user wants none, HOST_FAILED if it does not start, TIMEOUT, ABORTED
 */
export async function ensureSupervisor(home: Home, deadline: Deadline): Promise<SupervisorHello> {
  if (!supervisorAllowed()) {
    throw new SmolVMError(
      "NOT_SUPPORTED",
      "this needs smolvm's supervisor, and SMOLVM_SUPERVISOR=off forbids it",
      {
        hint: "Unset it: unset SMOLVM_SUPERVISOR",
      },
    );
  }
  const { socket, log } = supervisorFiles(home.paths);
  const version = packageVersion();
  let starts = 0;
  let hasEnded = (): boolean => true;
  let pauseMs = LOOK_MS;
  const givenUpAt = monotonicMs() + START_MS;
  for (;;) {
    const current = home.store.supervisor.current();
    if (current) {
      const hello = await ask(socket, { op: "hello" }, deadline).catch(nobodyThere);
      if (hello !== undefined && !isOlder(hello.version, version)) return hello;
      // It gives its place up before it answers, so that the next look finds none.
      if (hello !== undefined) await askToRetire(home, deadline);
    } else if (hasEnded()) {
      if (starts === MAX_STARTS) throw doesNotStart(log);
      hasEnded = startSupervisor(home.paths);
      starts++;
    }
    if (monotonicMs() > givenUpAt) throw doesNotStart(log);
    await deadline.sleep(pauseMs);
    pauseMs = Math.min(pauseMs * 1.5, MAX_LOOK_MS);
  }
}

function doesNotStart(log: string): SmolVMError {
  return new SmolVMError("HOST_FAILED", "smolvm's supervisor does not start", {
    hint: `See what it says: cat '${log}'`,
  });
}

/** Has the supervisor that lives now give its place up; commands that go through it are finished first. */
export async function askToRetire(home: Home, deadline: Deadline): Promise<void> {
  const { socket } = supervisorFiles(home.paths);
  await ask(socket, { op: "retire" }, deadline).catch(nobodyThere);
}

/** It may be about to listen, or about to end: the next look tells. */
function nobodyThere(error: unknown): undefined {
  if (error instanceof SmolVMError && error.code === "AGENT_LOST") return undefined;
  throw error;
}
