import type { MachineType } from "../../config/spec.ts";
import { SmolVMError } from "../../errors.ts";
import { cStrings, elfSection } from "../formats/elf.ts";
import type { RootfsFormat } from "../formats/rootfs-format.ts";
import type { KernelModule } from "../store/image.ts";

/** What decides which modules a boot needs. Every module costs boot time under emulation, so only those are loaded. */
export interface ModuleNeeds {
  readonly machine: MachineType;
  /** whether the machine has a network card */
  readonly nic: boolean;
  /** format of the read-only base or writable root; undefined: there is none */
  readonly rootfsFormat: RootfsFormat | undefined;
  /** whether a base and a writable disk are joined */
  readonly overlay: boolean;
  /** file systems of drives that the agent mounts */
  readonly mounted?: readonly RootfsFormat[] | undefined;
}

/** The bus that a machine's virtio devices sit on. */
const BUS: Readonly<Record<MachineType, string>> = {
  microvm: "virtio_mmio",
  q35: "virtio_pci",
  virt: "virtio_mmio",
  firecracker: "virtio_mmio",
};

/** What carries the agent's channel. */
const CHANNEL: Readonly<Record<MachineType, string>> = {
  microvm: "virtio_console",
  q35: "virtio_console",
  virt: "virtio_console",
  firecracker: "vmw_vsock_virtio_transport",
};

/** Every module that some boot may need: what is kept of a kernel package (with what these depend on). */
export const KEPT_MODULES: readonly string[] = [
  "virtio_mmio",
  "virtio_pci",
  "virtio_console",
  "virtio_blk",
  "virtio_net",
  "overlay",
  "squashfs",
  "erofs",
  "ext4",
  "vmw_vsock_virtio_transport",
  "fuse",
];

/** The modules that a boot asks for, without their dependencies. Pure. */
export function wantedModules(needs: ModuleNeeds): string[] {
  return [
    BUS[needs.machine],
    CHANNEL[needs.machine],
    "virtio_blk",
    ...(needs.rootfsFormat === undefined ? [] : [needs.rootfsFormat]),
    // the writable disk is ext4 whatever the base is
    ...(needs.overlay ? ["ext4", "overlay"] : []),
    ...(needs.mounted ?? []),
    ...(needs.nic ? ["virtio_net"] : []),
    // Directories of the host can come at any time, and the initramfs is gone by then.
    "fuse",
  ];
}

/**
 * The wanted modules and all they depend on, dependencies first. A wanted module that the kernel does not have as a
 * module is left out: it is built in, or the agent says at boot what is missing. Pure.
 * @throws SmolVMError IMAGE_INVALID if a dependency of a module is missing or circular
 */
export function loadOrder<M extends Pick<KernelModule, "name" | "depends">>(
  modules: readonly M[],
  wanted: readonly string[],
): M[] {
  const byName = new Map(modules.map((module) => [module.name, module]));
  const order: M[] = [];
  const visiting = new Set<string>();
  const visit = (name: string, neededBy: string | undefined): void => {
    const module = byName.get(name);
    if (module === undefined) {
      if (neededBy === undefined) return;
      throw new SmolVMError(
        "IMAGE_INVALID",
        `the kernel module ${neededBy} needs ${name}, which is missing`,
        {
          hint: "Build the image again: smolvm image build --force",
        },
      );
    }
    if (order.includes(module)) return;
    if (visiting.has(name)) {
      throw new SmolVMError("IMAGE_INVALID", `the kernel module ${name} depends on itself`);
    }
    visiting.add(name);
    for (const dependency of module.depends) visit(dependency, name);
    order.push(module);
  };
  for (const name of wanted) visit(name, undefined);
  return order;
}

/**
 * The modules that a module needs, from its .modinfo section ("depends=a,b"). Pure.
 * @throws SmolVMError IMAGE_INVALID
 */
export function moduleDepends(file: Uint8Array): string[] {
  const info = elfSection(file, ".modinfo");
  const line = info && cStrings(info).find((text) => text.startsWith("depends="));
  return (line?.slice("depends=".length) ?? "")
    .split(",")
    .filter((name) => name !== "")
    .map(moduleName);
}

/** A module's name from a file name or a dependency: the kernel takes `-` and `_` for the same. Pure. */
export function moduleName(text: string): string {
  return text.replace(/\.ko(\..*)?$/, "").replaceAll("-", "_");
}

/** linux: include/linux/module_signature.h; the marker ends the file, before it a 12-byte trailer whose last u32 is big-endian. */
const SIGNATURE_MARKER = Buffer.from("~Module signature appended~\n", "latin1");
const SIGNATURE_TRAILER_BYTES = 12;

/**
 * A module without the signature that is appended to it. The guest's kernel would verify it (RSA and SHA-256, slow under
 * emulation) although nothing hangs on it: whoever makes the initramfs makes the kernel too. Pure.
 */
export function stripModuleSignature(file: Uint8Array): Uint8Array {
  const markerAt = file.length - SIGNATURE_MARKER.length;
  const trailerAt = markerAt - SIGNATURE_TRAILER_BYTES;
  if (trailerAt < 0 || !SIGNATURE_MARKER.equals(file.subarray(markerAt))) return file;
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const start = trailerAt - view.getUint32(trailerAt + 8, false);
  return start > 0 ? file.subarray(0, start) : file;
}
