import { chownSync, mkdirSync, writeFileSync } from "node:fs";
import { basename } from "node:path";
import type { MachineSpec } from "../../config/spec.ts";
import type { VmFiles } from "../../host/files/filenames.ts";
import { launchProgram } from "../../host/monitor/launch.ts";
import { signalProcess } from "../../host/process/process-identity.ts";
import { type EnclosedProgram, enclose, encloseJailer } from "../../isolation/enclose.ts";
import { isStatic, systemFiles } from "../../isolation/system-files.ts";
import type { HostView } from "../../isolation/view.ts";
import type { Deadline } from "../../util/deadline.ts";
import { rmSync } from "../../util/files-go.ts";
import { monotonicMs } from "../../util/monotonic.ts";
import type { Backend, LaunchedMachine, LaunchOptions } from "../backend.ts";
import { BACKEND_FEATURES } from "../features.ts";
import type { BackendHost } from "../host.ts";
import { machineFiles, tapDevices } from "../machine-files.ts";
import { kvmGroups } from "../own-uid.ts";
import { makeSocketDir } from "../socket-dir.ts";
import { statePath } from "../state-file.ts";
import { rejectAtEnd, unlessOver } from "../watch-end.ts";
import { jailerArgs, jailRoot } from "./jailer.ts";
import { firecrackerMissing, locateFirecracker, locateJailer } from "./locate.ts";
import { makeOwnNames, makeScratch } from "./own-files.ts";
import { ownNameLinks } from "./own-names.ts";
import { probeFirecracker } from "./probe.ts";
import { type ApiRequest, bootRequests, limitCard, loadRequest, vmState } from "./requests.ts";

/** The Firecracker backend for a host. */
export function firecrackerBackend(host: BackendHost): Backend {
  return {
    name: "firecracker",
    features: BACKEND_FEATURES.firecracker,
    program: () => locateFirecracker(host.env),
    launch: (spec, files, options) => launchFirecracker(spec, files, options, host),
    shape: machineShape,
    capture: async (files, capture, deadline) => {
      const { captureFirecracker } = await import("./capture.ts"); // few commands save a machine
      return captureFirecracker(files, capture, deadline);
    },
    pause: (files, deadline) => ask(files, [[vmState("Paused")]], deadline),
    resume: (files, deadline) => ask(files, [[vmState("Resumed")]], deadline),
    inspect: inspectFirecracker,
  };
}

/** What makes its machine, but for the kernel's files and the tap. Pure. */
function machineShape(spec: MachineSpec): readonly string[] {
  const neutral = { ...spec, kernelPath: "kernel", initrdPath: spec.initrdPath && "initrd" };
  const tap = spec.networkCard === "tap" ? "tap" : undefined;
  return bootRequests(neutral, { tap }).map(({ path, body }) => `${path} ${JSON.stringify(body)}`);
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
  makeOwnNames(spec.disks, files);
  makeScratch(files, options.enclosure.user);
  const startedAt = monotonicMs();
  const launched = await launchProgram({
    ...enclosed(spec, files, program, options, host),
    cwd: files.runtimeDir,
    console: files.console,
    stderr: files.vmmLog,
    exit: files.exit,
    dieWithParent: options.lifetime === "owner",
    deadline: options.deadline,
    onStarted: options.onVmm,
  });
  try {
    // That the program ends says more than a socket that is gone.
    const ended = rejectAtEnd("firecracker", launched, startedAt);
    await unlessOver(options.deadline, [ended], async (own) => {
      // It starts while what it goes on from may still be coming.
      await ask(files, await startRequests(spec, files, program, options, host), own);
    });
  } catch (error) {
    signalProcess(launched.program, "SIGKILL");
    throw error;
  } finally {
    rmSync(statePath(files), { force: true });
  }
  const { program: vmm, monitor, exited, scopeRefusal } = launched;
  return { vmm: { ...vmm, monitor }, exited, scopeRefusal, untranslated: undefined };
}

/** Firecracker in what is put around it: in its jailer, or directly. */
function enclosed(
  spec: MachineSpec,
  files: VmFiles,
  program: string,
  { enclosure, tap, memory }: LaunchOptions,
  host: BackendHost,
): EnclosedProgram {
  const view = (): HostView => viewOf(spec, files, program, tap, memory);
  const args = firecrackerArgs(files);
  const { bubblewrap, user } = enclosure;
  const jailer = enclosure.tier === "jail" ? locateJailer(program, host.env) : undefined;
  if (jailer === undefined || bubblewrap === undefined || user === undefined) {
    const id = ["--id", basename(files.dir)]; // the jailer gives it itself
    return enclose(enclosure, view, [program, ...id, ...args]);
  }
  const request = { jailer, firecracker: program, id: basename(files.dir), user, base: files.jail };
  const root = jailRoot(request);
  mkdirSync(root, { recursive: true, mode: 0o700 });
  const place = { bubblewrap, user, view: view(), root };
  return encloseJailer(enclosure, place, [...jailerArgs(request), ...args]);
}

/** What this Firecracker needs of the host. */
function viewOf(
  spec: MachineSpec,
  files: VmFiles,
  program: string,
  tap: string | undefined,
  memory: LaunchOptions["memory"],
): HostView {
  const { exit, readOnly, writable } = machineFiles(spec, files);
  return {
    exit,
    readOnly: memory === undefined ? readOnly : [...readOnly, memory.path],
    writable: [...writable, files.scratch],
    links: ownNameLinks(files),
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

/** Asks in turns, each when nothing of the one before was refused. */
async function ask(
  files: VmFiles,
  turns: readonly (readonly ApiRequest[])[],
  deadline: Deadline,
): Promise<void> {
  const { ApiClient } = await import("./api-client.ts"); // few commands have something to ask
  const client = new ApiClient(files.control);
  try {
    for (const requests of turns) await client.send(requests, deadline);
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

/** What a fresh Firecracker is asked, until its machine runs. */
async function startRequests(
  spec: MachineSpec,
  files: VmFiles,
  program: string,
  { memory, tap, rateLimitMbps, enclosure }: LaunchOptions,
  host: BackendHost,
): Promise<ApiRequest[][]> {
  if (memory?.kind !== "restored") {
    const requests = bootRequests(spec, { tap, rateLimitMbps });
    return [requests.slice(0, -1), requests.slice(-1)];
  }
  const version = await probeFirecracker(program, host.cacheDir);
  const state = statePath(files);
  writeFileSync(state, (await memory.rest).state, { mode: 0o600, flag: "wx" });
  if (enclosure.user !== undefined) chownSync(state, enclosure.user.uid, enclosure.user.gid);
  const limited = tap !== undefined && rateLimitMbps !== undefined;
  const load = loadRequest({ memory: memory.path, state, tap, version, halted: limited });
  // A template's card has no limit: it is in force before the guest goes on.
  return limited ? [[load], [limitCard(rateLimitMbps)], [vmState("Resumed")]] : [[load]];
}
