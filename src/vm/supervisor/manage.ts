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

/** The status with which a supervisor of systemd's ends that has given its place up to a newer program's: systemd starts it again, as that program. */
export const STARTED_AGAIN_STATUS = 75; // EX_TEMPFAIL of sysexits.h

/** Variables that say where a home and its programs are, or what smolvm does: systemd's own environment has none of a shell's. */
const PASSED_ON = /^(PATH|XDG_(DATA|CACHE|CONFIG)_HOME|SMOLVM_(?!FAILPOINT$|SUPERVISOR$)\w+)$/;

/** A systemd user unit (systemd.service(5)) that keeps a supervisor running: for the home, and with the programs, of this process. */
export function supervisorUnit(env: Readonly<Record<string, string | undefined>> = process.env): string {
  const command = [...daemonCommand(SUPERVISOR_PROGRAM), "--stay"].map(commandWord).join(" ");
  const passedOn = Object.entries(env).filter(([name, value]) => PASSED_ON.test(name) && value);
  return [
    "[Unit]",
    "Description=smolvm supervisor: networks, forwarded ports and times to live of sandboxes",
    // One that cannot start (smolvm is gone, say) is given up some time; the next smolvm command starts one then.
    "StartLimitIntervalSec=60",
    "StartLimitBurst=20",
    "",
    "[Service]",
    `ExecStart=${command}`,
    ...passedOn.sort().map(([name, value]) => `Environment=${quoted(`${name}=${value}`)}`),
    "Restart=on-failure",
    `SuccessExitStatus=${STARTED_AGAIN_STATUS}`,
    `RestartForceExitStatus=${STARTED_AGAIN_STATUS}`,
    // Sandboxes of its pools are not its own: they go on without it.
    "KillMode=process",
    "OOMPolicy=continue",
    "",
    "[Install]",
    "WantedBy=default.target",
    "",
  ].join("\n");
}

/** As systemd reads words: in double quotes, with `%` (specifiers) doubled. Pure. */
function quoted(word: string): string {
  return `"${word.replaceAll(/["\\]/g, "\\$&").replaceAll("%", "%%")}"`;
}

/** {@link quoted} for a command, where `$` (variables) is doubled as well. Pure. */
function commandWord(word: string): string {
  return quoted(word).replaceAll("$", "$$$$");
}
