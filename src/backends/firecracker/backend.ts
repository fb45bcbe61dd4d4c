import { mkdirSync } from "node:fs";
import { basename } from "node:path";
import type { MachineSpec } from "../../config/spec.ts";
import type { VmFiles } from "../../host/files/filenames.ts";
import { type LaunchedProgram, launchProgram } from "../../host/monitor/launch.ts";
import { signalProcess } from "../../host/process/process-identity.ts";
import { type EnclosedProgram, enclose, encloseJailer } from "../../isolation/enclose.ts";
import { isStatic, systemFiles } from "../../isolation/system-files.ts";
import type { HostView } from "../../isolation/view.ts";
import type { Deadline } from "../../util/deadline.ts";
import { monotonicMs } from "../../util/monotonic.ts";
import type { Backend, LaunchedMachine, LaunchOptions } from "../backend.ts";
import { BACKEND_FEATURES } from "../features.ts";
import type { BackendHost } from "../host.ts";
import { machineFiles, tapDevices } from "../machine-files.ts";
import { kvmGroups } from "../own-uid.ts";
import { makeSocketDir } from "../socket-dir.ts";
import { vmmExitError } from "../vmm-exit.ts";
import { jailerArgs, jailRoot } from "./jailer.ts";
import { firecrackerMissing, locateFirecracker, locateJailer } from "./locate.ts";
import { type ApiRequest, bootRequests, vmState } from "./requests.ts";

/** The Firecracker backend for a host. */
export function firecrackerBackend(host: BackendHost): Backend {
  return {
    name: "firecracker",
    features: BACKEND_FEATURES.firecracker,
    program: () => locateFirecracker(host.env),
    launch: (spec, files, options) => launchFirecracker(spec, files, options, host),
    pause: (files, deadline) => ask(files, vmState("Paused"), deadline),
    resume: (files, deadline) => ask(files, vmState("Resumed"), deadline),
    inspect: inspectFirecracker,
  };
}

async function launchFirecracker(
  spec: MachineSpec,
  files: VmFiles,
  options: LaunchOptions,
  host: BackendHost,
): Promise<LaunchedMachine> {
  const program = locateFirecracker(host.env);
  if (program === undefined) throw firecrackerMissing(host.env);
  makeSocketDir(files.runtimeDir, options.enclosure);
  const startedAt = monotonicMs();
  const launched = await launchProgram({
    ...enclosed(spec, files, program, options, host),
    console: files.console,
    stderr: files.vmmLog,
    exit: files.exit,
    dieWithParent: options.lifetime === "owner",
    deadline: options.deadline,
  });
  try {
    await boot(spec, files, options, launched, startedAt);
  } catch (error) {
    signalProcess(launched.program, "SIGKILL");
    throw error;
  }
  const { program: vmm, monitor, exited, scopeRefusal } = launched;
  return { vmm: { ...vmm, monitor }, exited, scopeRefusal };
}

/** Firecracker in what is put around it: in its jailer, or directly. */
function enclosed(
  spec: MachineSpec,
  files: VmFiles,
  program: string,
  { enclosure, tap }: LaunchOptions,
  host: BackendHost,
): EnclosedProgram {
  const args = firecrackerArgs(files);
  const { bubblewrap, user } = enclosure;
  const jailer = enclosure.tier === "jail" ? locateJailer(program, host.env) : undefined;
  if (jailer === undefined || bubblewrap === undefined || user === undefined) {
    const id = ["--id", basename(files.dir)]; // the jailer gives it itself
    return enclose(enclosure, () => viewOf(spec, files, program, tap), [program, ...id, ...args]);
  }
  const request = { jailer, firecracker: program, id: basename(files.dir), user, base: files.jail };
  const root = jailRoot(request);
  mkdirSync(root, { recursive: true, mode: 0o700 });
  const view = viewOf(spec, files, program, tap);
  return encloseJailer(enclosure, { bubblewrap, user, view, root }, [...jailerArgs(request), ...args]);
}

/** What this Firecracker needs of the host. */
function viewOf(spec: MachineSpec, files: VmFiles, program: string, tap: string | undefined): HostView {
  return {
    ...machineFiles(spec, files),
    // The official one is static: then nothing of the system's is there.
    system: isStatic(program) ? [{ kind: "tree", path: program }] : systemFiles(program),
    optional: [],
    devices: ["/dev/kvm", ...tapDevices(tap)],
    groups: kvmGroups() ?? [],
    proc: BACKEND_FEATURES.firecracker.readsProc,
    network: tap === undefined ? "none" : "host", // where the tap is
  };
}

/** Firecracker's arguments: all else is asked of its API. Its own log goes to stderr, its stdout is the guest's console. Pure. */
function firecrackerArgs({ control }: Pick<VmFiles, "control">): string[] {
  return ["--api-sock", control, "--level", "Warning", "--log-path", "/proc/self/fd/2"];
}

async function ask(files: VmFiles, request: ApiRequest, deadline: Deadline): Promise<void> {
  const { ApiClient } = await import("./api-client.ts");
  const client = new ApiClient(files.control);
  try {
    await client.send([request], deadline);
  } finally {
    client.close();
  }
}

/** What of the API changes nothing and tells nothing of the guest's memory. */
const QUERIES = ["/", "/version", "/vm/config"] as const;

async function inspectFirecracker(
  files: VmFiles,
  deadline: Deadline,
): Promise<Readonly<Record<string, unknown>>> {
  const { ApiClient } = await import("./api-client.ts");
  const client = new ApiClient(files.control);
  const answers: Record<string, unknown> = {};
  try {
    for (const path of QUERIES) answers[path] = await client.get(path, deadline);
  } finally {
    client.close();
  }
  return answers;
}

/** Sends what makes the machine run; a Firecracker that ends meanwhile says why itself. */
async function boot(
  spec: MachineSpec,
  files: VmFiles,
  options: LaunchOptions,
  launched: LaunchedProgram,
  startedAt: number,
): Promise<void> {
  const { ApiClient } = await import("./api-client.ts"); // few commands start a machine
  const client = new ApiClient(files.control);
  const ended = launched.exited.then((exit) => {
    throw vmmExitError("firecracker", exit, monotonicMs() - startedAt);
  });
  ended.catch(() => {}); // it ends some day; only while booting that is a failure
  const requests = bootRequests(spec, {
    vsockPath: files.vsock,
    disposable: options.lifetime === "owner",
    tap: options.tap,
  });
  // What makes the machine is asked in one go; it is started when nothing of that was refused.
  const [setUp, start] = [requests.slice(0, -1), requests.slice(-1)];
  const started = client.send(setUp, options.deadline).then(() => client.send(start, options.deadline));
  try {
    await Promise.race([started, ended]);
  } finally {
    client.close();
    started.catch(() => {}); // of one that has ended
  }
}
