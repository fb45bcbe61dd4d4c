import { existsSync } from "node:fs";
import type { Socket } from "node:net";
import type { MachineSpec } from "../../config/spec.ts";
import { SmolVMError } from "../../errors.ts";
import type { VmFiles } from "../../host/files/filenames.ts";
import { tscKhz } from "../../host/hardware/facts.ts";
import { type LaunchedProgram, launchProgram } from "../../host/monitor/launch.ts";
import { TAP_DESCRIPTOR } from "../../host/monitor/own-network.ts";
import { signalProcess } from "../../host/process/process-identity.ts";
import { PORT_PLACEHOLDER } from "../../host/relay/placeholder.ts";
import { enclose } from "../../isolation/enclose.ts";
import { systemFiles } from "../../isolation/system-files.ts";
import type { HostView } from "../../isolation/view.ts";
import type { Deadline } from "../../util/deadline.ts";
import { monotonicMs } from "../../util/monotonic.ts";
import type { Backend, GuestMemory, LaunchedMachine, LaunchOptions, RestoredMemory } from "../backend.ts";
import { BACKEND_FEATURES } from "../features.ts";
import type { BackendHost } from "../host.ts";
import { machineFiles, tapDevices } from "../machine-files.ts";
import { kvmGroups } from "../own-uid.ts";
import { makeSocketDir } from "../socket-dir.ts";
import { rejectAtEnd, unlessOver } from "../watch-end.ts";
import { type BehindCard, type QemuEndpoints, qemuArgs } from "./args.ts";
import { memoryFile, readOnlyPreload, withMemory } from "./guest-memory.ts";
import { locateQemu, qemuMissing } from "./locate.ts";
import { channelPorts } from "./machine.ts";
import { preloadEnv, withPreloads } from "./preloads.ts";
import { probeQemu } from "./probe.ts";
import { QmpClient } from "./qmp-client.ts";

/** The QEMU backend for a host. */
export function qemuBackend(host: BackendHost): Backend {
  return {
    name: "qemu",
    features: BACKEND_FEATURES.qemu,
    program: (spec) => locateQemu(spec.arch, host, spec),
    shape: machineShape,
    launch: (spec, files, options) => launchQemu(spec, files, options, host),
    quit: (files, deadline) => withControl(files, deadline, (client) => client.quit(deadline)),
    endWithState: (files, translations, deadline) =>
      withControl(files, deadline, async (client) => {
        const { endWithState } = await import("./migration.ts");
        return endWithState(client, files, translations, deadline);
      }),
    forgetTranslations: (files, deadline) =>
      withControl(files, deadline, async (client) => {
        const { forgetAll } = await import("./migration.ts");
        return forgetAll(client, deadline);
      }),
    capture: (files, capture, deadline) =>
      withControl(files, deadline, async (client) => {
        const { captureRunning } = await import("./migration.ts");
        return captureRunning(client, files, capture, deadline);
      }),
    freeLostPorts: (files, deadline) =>
      withControl(files, deadline, async (client) => {
        const { freeLostPorts } = await import("./free-ports.ts");
        await freeLostPorts(client, files, deadline);
      }),
    pause: (files, deadline) =>
      withControl(
        files,
        deadline,
        async (client) => void (await client.execute("stop", undefined, deadline)),
      ),
    resume: (files, deadline) =>
      withControl(files, deadline, async (client) => {
        const { letGoOn } = await import("./migration.ts");
        await letGoOn(client, files, deadline);
      }),
    inspect: (files, deadline) =>
      withControl(files, deadline, async (client) => {
        const { inspectQemu } = await import("./inspect.ts");
        return inspectQemu(client, deadline);
      }),
  };
}

/** Its arguments, with a machine's own files and sockets under names that all have. Pure. */
function machineShape(spec: MachineSpec): readonly string[] {
  const disks = spec.disks.map((disk) => ({ ...disk, path: disk.serial }));
  const channels = Array.from({ length: channelPorts(spec) }, (_, port) => `channel${port}`);
  return qemuArgs(
    { ...spec, disks, kernelPath: "kernel", initrdPath: "initrd" },
    { kind: "unix", control: "control", channels },
    { platform: process.platform, tscKhz: undefined, sandbox: false, disposable: false },
  );
}

async function launchQemu(
  spec: MachineSpec,
  files: VmFiles,
  options: LaunchOptions,
  host: BackendHost,
): Promise<LaunchedMachine> {
  const program = locateQemu(spec.arch, host, spec);
  if (program === undefined) throw qemuMissing(spec.arch, host.env);
  const [probe, khz] = await Promise.all([
    probeQemu(program, host.cacheDir),
    spec.accelerator === "tcg" && spec.arch === "x86_64" ? tscKhz(host.cacheDir) : undefined,
  ]);
  makeSocketDir(files.runtimeDir, options.enclosure);
  const memory = host.env.translations === "off" ? withoutCode(options.memory) : options.memory;
  const facts = {
    platform: process.platform,
    tscKhz: khz,
    sandbox: probe.sandbox,
    disposable: options.lifetime === "owner",
    behindCard: behindCard(options),
    memory: memoryFile(memory, probe.version),
  };
  const argv = [program, ...qemuArgs(spec, endpointsOf(spec, files), facts)];
  const { own, preload } = options.userNetwork ?? {};
  const preloads = [readOnlyPreload(facts.memory), preload].filter((one) => one !== undefined);
  const launched = await launchProgram({
    ...enclose(
      options.enclosure,
      () =>
        withPreloads(
          withMemory(
            viewOf(spec, files, program, options),
            facts.memory,
            memory?.kind === "restored" ? memory.code : undefined,
          ),
          preloads,
        ),
      argv,
    ),
    env: options.enclosure.bubblewrap === undefined ? preloadEnv(preloads) : undefined,
    network: own,
    console: files.console,
    stderr: files.vmmLog,
    exit: files.exit,
    relay: spec.transport === "tcp" ? files.relay : undefined,
    lock: process.platform === "win32" ? files.lock : undefined,
    dieWithParent: options.lifetime === "owner",
    deadline: options.deadline,
    onStarted: options.onVmm,
  });
  const untranslated =
    memory?.kind === "restored" ? await goOn(spec, files, memory, launched, options.deadline) : undefined;
  const { program: vmm, monitor, exited, scopeRefusal } = launched;
  const translates = spec.accelerator === "tcg";
  return {
    vmm: { ...vmm, monitor },
    exited,
    scopeRefusal,
    untranslated: translates ? untranslated : undefined,
  };
}

/** As one whose translations were not kept. */
function withoutCode(memory: GuestMemory | undefined): GuestMemory | undefined {
  if (memory?.kind !== "restored") return memory;
  const translations = { why: "SMOLVM_TRANSLATIONS is off" };
  const rest = memory.rest.then((comes) => ({ ...comes, translations }));
  rest.catch(() => {}); // it may fail before anybody waits for it
  return { ...memory, code: undefined, rest };
}

/** How long a QEMU whose socket was closed may take to end. */
const LAST_WORDS_MS = 1_000;

/**
 * Gives a machine the state that it waits for; one that does not take it says why itself, and ends.
 * @returns why it does not use the translations, if it does not
 */
async function goOn(
  spec: MachineSpec,
  files: VmFiles,
  memory: RestoredMemory,
  launched: LaunchedProgram,
  deadline: Deadline,
): Promise<string | undefined> {
  const { resumeFromState } = await import("./migration.ts"); // a boot has no use for it
  const ended = rejectAtEnd("qemu", launched, monotonicMs());
  const machine = { ...spec, pid: launched.program.pid };
  // What was to come does not: then nothing is wrong with this machine.
  const failed = memory.rest.then(() => new Promise<never>(() => {}));
  try {
    const untranslated = await unlessOver(deadline, [failed, ended], (own) =>
      // Of one that ends, its last words say why, not that its socket is gone.
      resumeFromState(files, machine, memory, own).catch(async (error) => {
        await Promise.race([ended, own.sleep(LAST_WORDS_MS)]);
        throw error;
      }),
    );
    if (memory.wasInUse) await (await import("./free-ports.ts")).freePorts(channelSockets(spec, files));
    return untranslated;
  } catch (error) {
    signalProcess(launched.program, "SIGKILL");
    throw error;
  }
}

/** What is behind the card of a machine, if it has one; undefined: libslirp. */
function behindCard({ tap, userNetwork, memory }: LaunchOptions): BehindCard | undefined {
  if (tap !== undefined) return { kind: "tap", name: tap };
  if (userNetwork?.own?.tap !== undefined) return { kind: "open-tap", descriptor: TAP_DESCRIPTOR };
  // A template's: libslirp would be in what is saved, and could not be taken out again.
  return memory?.kind === "recorded" ? { kind: "nothing" } : undefined;
}

/** What this QEMU needs of the host. */
function viewOf(spec: MachineSpec, files: VmFiles, program: string, options: LaunchOptions): HostView {
  const { tap, userNetwork } = options;
  // Without a network card there is nothing to dial; gdb comes in through the host's loopback.
  const dials = spec.network === "open" && behindCard(options)?.kind !== "nothing";
  const offline = !dials && spec.gdbPort === undefined;
  return {
    ...machineFiles(spec, files),
    system: systemFiles(program),
    // Its user-mode network hands the guest's questions to the name server that this says, where that is in the same network.
    optional: userNetwork === undefined || userNetwork.own !== undefined ? [] : ["/etc/resolv.conf"],
    devices: [...(spec.accelerator === "kvm" ? ["/dev/kvm"] : []), ...tapDevices(tap)],
    groups: spec.accelerator === "kvm" ? (kvmGroups() ?? []) : [],
    proc: BACKEND_FEATURES.qemu.readsProc,
    network: offline ? "none" : "host",
  };
}

/** The sockets of a sandbox by {@link VmFiles}: one for control, one for each port of the channel. */
function endpointsOf(spec: MachineSpec, files: VmFiles): QemuEndpoints {
  if (spec.transport === "tcp")
    return { kind: "relay", port: PORT_PLACEHOLDER, channels: channelPorts(spec) };
  return { kind: "unix", control: files.control, channels: channelSockets(spec, files) };
}

function channelSockets(spec: MachineSpec, files: VmFiles): string[] {
  return Array.from({ length: channelPorts(spec) }, (_, port) => files.channel(port));
}

/** One conversation with a machine's control socket, which serves one client at a time. */
async function withControl<T>(
  files: VmFiles,
  deadline: Deadline,
  act: (client: QmpClient) => Promise<T>,
): Promise<T> {
  const client = existsSync(files.relay)
    ? await QmpClient.over(await connectRelay(files, deadline), deadline)
    : await QmpClient.connect(files.control, deadline);
  try {
    return await act(client);
  } finally {
    client.close();
  }
}

async function connectRelay(files: VmFiles, deadline: Deadline): Promise<Socket> {
  const { dialRelay } = await import("../../host/relay/dial.ts");
  try {
    return await deadline.race(dialRelay(files.relay, "ctl", deadline.signal));
  } catch (cause) {
    if (cause instanceof SmolVMError) throw cause;
    throw new SmolVMError("VMM_FAILED", `the machine's relay does not answer: ${(cause as Error).message}`, {
      cause,
    });
  }
}
