import { BACKEND_FEATURES } from "../../backends/features.ts";
import { chooseHardware } from "../../backends/hardware.ts";
import { chooseDiscovery } from "../../backends/qemu/machine.ts";
import { selectBackend } from "../../backends/select.ts";
import { invalidOption } from "../../config/checks.ts";
import {
  DEFAULT_DISK_SIZE_MIB,
  DEFAULT_IMAGE,
  DEFAULT_MEM_SIZE_MIB,
  DEFAULT_VCPU_COUNT,
  SESSION_PORTS,
} from "../../config/defaults.ts";
import type { HostMount, MountSpec } from "../../config/mounts.ts";
import type { NetworkPolicy } from "../../config/network-rules.ts";
import type { VMConfig } from "../../config/options.ts";
import { isUnfiltered } from "../../config/schema.ts";
import type {
  Arch,
  BackendName,
  DiskSpec,
  ImageSays,
  MachineSpec,
  NetworkMode,
  TemplateUse,
  Transport,
  VmSpec,
} from "../../config/spec.ts";
import { SmolVMError } from "../../errors.ts";
import { readEnvironment } from "../../host/environment.ts";
import type { VmFiles } from "../../host/files/filenames.ts";
import { hostArch } from "../../host/hardware/facts.ts";
import { type Boot, resolveBoot } from "../../images/boot/boot.ts";
import type { ImageConfig } from "../../images/oci/config.ts";
import { USER_NETWORK } from "../../network/plan.ts";
import { OPEN_BY_DOOR } from "../../network/user-network.ts";
import type { Deadline } from "../../util/deadline.ts";
import { isSignal } from "../../util/guest-signals.ts";
import { driveMounts } from "../disks/drive-mounts.ts";
import { extraDisks, requireOnce } from "../disks/extra-disks.ts";
import type { Home } from "../home.ts";
import { requireServer } from "../mounts/file-server.ts";
import { shareable } from "../mounts/shareable.ts";
import { requireTap } from "../network/tap.ts";
import { doorInstead, userNetworkFor } from "../network/user-network.ts";
import { requireFeature } from "./features.ts";

/**
 * Turns options, environment, host and image into the spec: nothing below asks the environment or guesses a default.
 * @throws SmolVMError BACKEND_UNSUPPORTED, BACKEND_UNAVAILABLE, KVM_UNAVAILABLE, NETWORK_SETUP_MISSING, IMAGE_NOT_FOUND,
 *   IMAGE_INVALID, FILE_NOT_FOUND
 */
export async function resolveVm(
  home: Home,
  config: VMConfig,
  vm: { readonly name: string; readonly files: VmFiles },
  deadline: Deadline,
): Promise<VmSpec> {
  const arch = config.arch ?? requireHostArch();
  const asked = networkMode(config.network);
  const { gdbPort, qemuNetwork } = config;
  const wants = {
    accelerator: config.accelerator ?? "auto",
    machine: config.qemuMachine ?? "auto",
    qemuNetwork,
  } as const;
  const { backend } = await selectBackend(config.backend, {
    arch,
    wants: { ...wants, network: asked, gdbPort },
  });
  if (gdbPort !== undefined) requireFeature(backend, "gdb");
  const { machine, accelerator } = await chooseHardware({ backend, arch, ...wants });
  const wanted = asked !== "open" ? undefined : (qemuNetwork ?? BACKEND_FEATURES[backend].networkCards[0]);
  if (wanted === "tap") requireTap(); // now, not when it is started
  const { networkRateLimitMbps: rateLimitMbps } = config;
  if (wanted === "tap" && rateLimitMbps !== undefined && !BACKEND_FEATURES[backend].limitsTaps)
    throw invalidOption(
      "networkRateLimitMbps",
      rateLimitMbps,
      `cannot be kept by ${backend} on a tap: leave qemuNetwork out, or use Firecracker`,
    );
  const unfiltered = isUnfiltered(config.network);
  if (unfiltered && wanted !== "slirp")
    throw invalidOption("network", config.network, `is unfiltered: only for QEMU's user-mode network`);
  // Who names the user-mode network gets it.
  const mayHaveDoor = wanted === "slirp" && qemuNetwork === undefined && !unfiltered;
  const openByDoor = mayHaveDoor
    ? await doorInstead({ gdbPort, transport: transport(backend), rateLimitMbps })
    : undefined;
  const network = openByDoor === undefined ? asked : "restricted";
  const card = openByDoor === undefined ? wanted : undefined;
  const drives = await extraDisks(config.extraDrives ?? []);
  const mounts = await driveMounts(drives);
  const boot = await resolveBoot(home.paths, {
    arch,
    machine,
    nic: network === "open",
    image: config.image ?? DEFAULT_IMAGE,
    pull: config.pull ?? "missing",
    kernelPath: config.kernelPath,
    kernel: config.kernel,
    initrdPath: config.initrdPath,
    rootfsPath: config.rootfsPath,
    diskMode: config.diskMode,
    mounted: mounts.map(({ fileSystem }) => fileSystem),
    deadline,
    onProgress: config.onProgress,
  });
  const disks = [...rootDisks(boot, vm.files), ...drives];
  requireOnce(disks);
  deadline.check();
  const machineSpec: MachineSpec = {
    backend,
    arch,
    machine,
    accelerator,
    vcpuCount: config.vcpuCount ?? DEFAULT_VCPU_COUNT,
    memSizeMib: config.memSizeMib ?? DEFAULT_MEM_SIZE_MIB,
    kernelPath: boot.kernelPath,
    initrdPath: boot.initrdPath,
    bootArgs: config.bootArgs ?? "",
    gdbPort,
    disks,
    network,
    networkCard: card,
    ...(unfiltered ? { unfiltered } : {}),
    discovery: chooseDiscovery({
      machine,
      kernel: boot.kernel,
      disks: disks.length,
      nic: network === "open",
    }),
    sessionPorts: SESSION_PORTS,
    ...(hasMountPort(backend) ? { mountPort: true } : {}),
    transport: transport(backend),
  };
  await userNetworkFor(machineSpec, { rateLimitMbps }); // it throws now, not when it is started
  // Only of the image whose root it is.
  const asImage = config.rootfsPath === undefined ? boot.image?.origin?.config : undefined;
  const command = [...(asImage?.entrypoint ?? []), ...(asImage?.cmd ?? [])];
  const isInit = config.init !== undefined && INIT.test(command[0] ?? "");
  const imageCommand = isInit ? [] : command;
  return {
    machine: machineSpec,
    image: config.rootfsPath === undefined ? (boot.image?.name ?? "") : "",
    kernel: boot.kernel,
    imageDigest: boot.image?.digest ?? "",
    diskSizeMib:
      boot.rootfsBytes === undefined
        ? (config.diskSizeMib ?? DEFAULT_DISK_SIZE_MIB)
        : Math.ceil(boot.rootfsBytes / 2 ** 20),
    diskMode: config.diskMode ?? "isolated",
    hostname: config.hostname ?? vm.name,
    networkRateLimitMbps: config.networkRateLimitMbps,
    networkPolicy:
      asked === "restricted"
        ? networkPolicy(config.network)
        : openByDoor === undefined
          ? undefined
          : OPEN_BY_DOOR,
    ...(openByDoor === undefined ? {} : { openByDoor }),
    guestNetwork: card === "slirp" ? USER_NETWORK : undefined,
    ...(config.bring === undefined ? {} : { bring: config.bring.map((port) => ({ ...port })) }),
    ...(config.mounts === undefined ? {} : { mounts: hostMounts(config.mounts, home) }),
    env: { ...asImage?.env, ...config.env },
    // As in Docker: a relative command of an image that says no directory is one in the root.
    workdir: config.workdir ?? (asImage === undefined ? undefined : (asImage.workdir ?? "/")),
    user: config.user ?? asImage?.user,
    ...(imageCommand.length === 0 ? {} : { imageCommand }),
    ...(asImage === undefined ? {} : { imageSays: imageSays(asImage, boot.image!.name) }),
    ...(config.init === undefined ? {} : { init: isInit ? command : [] }),
    limits: config.limits,
    lifetime: config.lifetime ?? "owner",
    autoStart: config.autoStart ?? false,
    isolation: config.isolation ?? "auto",
    template: config.template ?? templateDefault(),
    ...(config.warm === undefined ? {} : { warm: [...config.warm] }),
    seedPath: boot.overlay ? boot.seedPath : undefined,
  };
}

/** A command that is an init system. */
const INIT = /^\/(?:[^/]+\/)*(?:init|systemd|openrc-init|runit-init)$/;

/** @throws SmolVMError IMAGE_INVALID for a stop signal that is none */
function imageSays({ exposedPorts, labels, stopSignal, healthCheck }: ImageConfig, name: string): ImageSays {
  if (stopSignal !== undefined && !isSignal(stopSignal)) {
    throw new SmolVMError(
      "IMAGE_INVALID",
      `the image '${name}' is stopped by '${stopSignal}', which is no signal`,
      {
        hint: "Ask whoever has made it for one whose STOPSIGNAL is a name such as SIGTERM.",
        details: { image: name },
      },
    );
  }
  return { exposedPorts, labels, stopSignal, healthCheck };
}

/** The root: a read-only base and the sandbox's own disk, or the user's image alone. */
function rootDisks(boot: Boot, files: VmFiles): DiskSpec[] {
  const disk = { path: boot.rootfsPath, format: "raw" } as const;
  if (!boot.overlay) return [{ ...disk, serial: "smolvm-root", readOnly: false }];
  return [
    { ...disk, serial: "smolvm-base", readOnly: true },
    { serial: "smolvm-upper", path: files.upper, format: "raw", readOnly: false },
  ];
}

/** @throws SmolVMError CONFIG_INVALID for a value that is none */
function templateDefault(): TemplateUse {
  const { template = "auto" } = readEnvironment(process.env);
  if (template === "auto" || template === "off") return template;
  throw invalidOption("SMOLVM_TEMPLATE", template, "is not one of auto, off");
}

function transport(backend: BackendName): Transport {
  if (BACKEND_FEATURES[backend].sessions === "unlimited") return "unix"; // vsock, whose one socket is the VMM's
  const forced = readEnvironment(process.env).transport === "tcp";
  return process.platform === "win32" || forced ? "tcp" : "unix";
}

/** Sessions are unlimited elsewhere, or there is no server of host directories. */
function hasMountPort(backend: BackendName): boolean {
  return (
    BACKEND_FEATURES[backend].sessions === "ports" &&
    process.platform === "linux" &&
    transport(backend) === "unix"
  );
}

/** @throws SmolVMError CONFIG_INVALID, FILE_NOT_FOUND, FILE_TYPE, FILE_PERMISSION, NOT_SUPPORTED */
function hostMounts(mounts: readonly HostMount[], { paths }: Home): MountSpec[] {
  if (mounts.length > 0) requireServer();
  return mounts.map((mount) => shareable(mount, paths));
}

function requireHostArch(): Arch {
  const arch = hostArch();
  if (arch) return arch;
  throw new SmolVMError(
    "BACKEND_UNAVAILABLE",
    `there is no guest for this host's architecture (${process.arch})`,
    {
      hint: 'Ask for one that is emulated: arch: "x86_64" or "aarch64".',
    },
  );
}

function networkPolicy(network: VMConfig["network"]): NetworkPolicy {
  const { allow = [], deny = [] } = typeof network === "object" ? network : {};
  return { allow: [...allow], deny: [...deny] };
}

function networkMode(network: VMConfig["network"]): NetworkMode {
  return typeof network === "object" ? network.mode : (network ?? "open");
}
