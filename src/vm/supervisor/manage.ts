import { readEnvironment } from "../../host/environment.ts";
import { supervisorFiles } from "../../host/files/filenames.ts";
import { daemonCommand } from "../../host/process/daemon.ts";
import { signalProcess } from "../../host/process/process-identity.ts";
import { waitForEnd } from "../../host/process/wait-end.ts";
import { Deadline } from "../../util/deadline.ts";
import { openHomeQuietly } from "../home.ts";
import { SUPERVISOR_PROGRAM } from "../start-supervisor.ts";

/** What is known about the home's supervisor. */
export interface SupervisorStatus {
  readonly running: boolean;
  readonly pid: number | undefined;
  /** the package's version that it runs */
  readonly version: string | undefined;
  /** there is something for one to do: ports of running sandboxes, times to live */
  readonly needed: boolean;
  /** path of its log */
  readonly log: string;
}

/** Whether the home has a supervisor now. Starts none. @throws SmolVMError STORE_INVALID, HOST_FAILED */
export function supervisorStatus(): SupervisorStatus {
  const home = openHomeQuietly();
  const { store } = home;
  const current = store.supervisor.current();
  return {
    running: current !== undefined,
    pid: current?.process.pid,
    version: current?.version,
    needed: store.supervisor.isNeeded(),
    log: supervisorFiles(home.paths).log,
  };
}

/** How long it may take to close its ports, in ms. */
const STOP_MS = 5_000;

/**
 * Ends the home's supervisor, and with it commands that go through it; the next command that needs one starts it again.
 * Returns whether there was one.
 * @throws SmolVMError TIMEOUT if it does not end
 */
export async function stopSupervisor(): Promise<boolean> {
  const current = openHomeQuietly().store.supervisor.current();
  if (!current) return false;
  signalProcess(current.process, "SIGTERM");
  await waitForEnd(current.process, Deadline.within(STOP_MS, "stopping the supervisor"));
  return true;
}

/** A systemd user unit (systemd.service(5)) that keeps a supervisor running. */
export function supervisorUnit(): string {
  const { home } = readEnvironment(process.env);
  const command = [...daemonCommand(SUPERVISOR_PROGRAM), "--stay"].map(quoted).join(" ");
  return [
    "[Unit]",
    "Description=smolvm supervisor: forwarded ports and times to live of sandboxes",
    "",
    "[Service]",
    `ExecStart=${command}`,
    ...(home === undefined ? [] : [`Environment=${quoted(`SMOLVM_HOME=${home}`)}`]),
    "Restart=on-failure",
    "",
    "[Install]",
    "WantedBy=default.target",
    "",
  ].join("\n");
}

/** As systemd reads words: in double quotes, with `%` (specifiers) and `$` (variables) doubled. */
function quoted(word: string): string {
  return `"${word.replaceAll(/["\\]/g, "\\$&").replaceAll("%", "%%").replaceAll("$", "$$$$")}"`;
}
