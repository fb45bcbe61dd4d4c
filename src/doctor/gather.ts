import { BACKEND_FEATURES } from "../backends/features.ts";
import { jailRefusal } from "../backends/firecracker/jail-refusal.ts";
import { type BackendHost, processHost } from "../backends/host.ts";
import { parseBackend, resolveBackendFrom } from "../backends/names.ts";
import { chooseAccelerator, hardwareRefusal } from "../backends/qemu/accel.ts";
import { findQemu } from "../backends/qemu/locate.ts";
import { probeQemu } from "../backends/qemu/probe.ts";
import { tryQemu } from "../backends/qemu/trial.ts";
import { type BackendSelection, selectBackend } from "../backends/select.ts";
import type { Arch, BackendName } from "../config/spec.ts";
import { isSmolVMError } from "../errors.ts";
import { processPaths } from "../host/files/paths.ts";
import { hostArch } from "../host/hardware/facts.ts";
import { type KvmFacts, kvmFacts } from "../host/hardware/kvm.ts";
import { isolationFacts } from "../isolation/facts.ts";
import { askForScopes } from "../isolation/scopes.ts";
import { chooseIsolation, type IsolationFacts } from "../isolation/tier.ts";
import type { DoctorContext, FoundQemu } from "./check.ts";

/** Finds out what several checks need. @throws SmolVMError BACKEND_UNSUPPORTED */
export async function gather(backendOption: string | undefined): Promise<DoctorContext> {
  const host = processHost();
  const arch = hostArch() ?? "x86_64";
  const kvm = kvmFacts(hostArch());
  // At the same time: a QEMU that does not answer is waited for once.
  const [selection, qemu, facts] = await Promise.all([
    settle(selectBackend(backendOption, { host })),
    askQemu(arch, host),
    factsOf(host),
  ]);
  const backend = "error" in selection ? wanted(backendOption, host) : selection.backend;
  return {
    env: host.env,
    paths: processPaths(),
    platform: process.platform,
    arch,
    hostArch: hostArch(),
    root: process.getuid?.() === 0,
    kvm,
    qemu,
    backend,
    selection,
    ...(backend === "qemu" ? accelerators(arch, qemu, kvm) : { accelerator: undefined }),
    isolation: chooseIsolation(facts, {
      least: "auto",
      readsProc: BACKEND_FEATURES[backend].readsProc,
      relayed: process.platform === "win32",
      noJail: jailRefusal({ backend }, host, processPaths().dataDir),
    }),
  };
}

/** A start asks for a scope when it needs one, and takes what it is given. */
async function factsOf(host: BackendHost): Promise<IsolationFacts> {
  const facts = await isolationFacts(host);
  return facts.scopes === undefined ? facts : { ...facts, scopes: await askForScopes(facts.scopes) };
}

async function settle(selection: Promise<BackendSelection>): Promise<DoctorContext["selection"]> {
  try {
    return await selection;
  } catch (error) {
    if (isSmolVMError(error, "BACKEND_UNAVAILABLE") || isSmolVMError(error, "KVM_UNAVAILABLE"))
      return { error };
    throw error;
  }
}

async function askQemu(arch: Arch, host: BackendHost): Promise<FoundQemu | undefined> {
  const found = findQemu(arch, host);
  if (found === undefined) return undefined;
  try {
    const probe = await probeQemu(found.path, host.cacheDir);
    const trial = await tryQemu(found.path, probe, {
      guests: arch,
      host: hostArch(),
      cacheDir: host.cacheDir,
    });
    return { ...found, probe, trial };
  } catch (error) {
    if (isSmolVMError(error)) return { ...found, error };
    throw error;
  }
}

/** The backend to check for when none can run: "auto" is checked for QEMU, which is what can be installed. */
function wanted(requested: string | undefined, { env }: BackendHost): BackendName {
  return parseBackend(requested, env.backend) === "auto"
    ? "qemu"
    : resolveBackendFrom(requested, env.backend, process.platform);
}

function accelerators(
  arch: Arch,
  qemu: FoundQemu | undefined,
  kvm: KvmFacts,
): Pick<DoctorContext, "accelerator" | "noHardware"> {
  if (qemu === undefined || "error" in qemu) return { accelerator: undefined };
  const facts = {
    platform: process.platform,
    hostArch: hostArch(),
    kvm,
    built: qemu.probe.accelerators,
    tried: qemu.trial.hardware,
  };
  return { accelerator: chooseAccelerator("auto", arch, facts), noHardware: hardwareRefusal(arch, facts) };
}
