import type { VMConfig } from "../../config/options.ts";
import type { OnProgress } from "../../config/progress.ts";
import type { Arch, KernelOrigin, MachineType, PullPolicy } from "../../config/spec.ts";
import { SmolVMError } from "../../errors.ts";
import type { Deadline } from "../../util/deadline.ts";
import { checkUserDisk, type UserDisk } from "../disk/user-disk.ts";
import type { RootfsFormat } from "../formats/rootfs-format.ts";
import { prepareInitrd } from "../kernel/initramfs.ts";
import type { Image, KernelModule } from "../store/image.ts";
import { anyKernel, type BuiltKernel, usedKernel } from "../store/kernel-store.ts";
import type { ImageDirs } from "../store/layout.ts";
import { agentFile } from "./agent.ts";
import { findImage } from "./find.ts";
import { checkUserInitrd, checkUserRootfs, prepareUserKernel } from "./user-files.ts";

/** What a boot is to be made of: an image of the store, with parts of the user's own in its place. */
export interface BootRequest {
  readonly arch: Arch;
  readonly machine: MachineType;
  /** whether the machine has a network card */
  readonly nic: boolean;
  /** name of the image: gives whatever the user does not, and the file systems that disks start from */
  readonly image: string;
  /** default "never": it must be there */
  readonly pull?: PullPolicy | undefined;
  readonly kernelPath?: string | undefined;
  /** which kernel, where the user gives none: see VMConfig.kernel */
  readonly kernel?: VMConfig["kernel"] | undefined;
  readonly initrdPath?: string | undefined;
  readonly rootfsPath?: string | undefined;
  /** "isolated" (default): the root is read-only under a writable disk; "shared": it is written itself */
  readonly diskMode?: "isolated" | "shared" | undefined;
  /** file systems of drives that the agent mounts */
  readonly mounted?: readonly RootfsFormat[] | undefined;
  /** for taking the guest bundle in, should that be needed */
  readonly deadline?: Deadline | undefined;
  readonly onProgress?: OnProgress | undefined;
}

/** What is booted. All paths are absolute or as the user gave them. */
export interface Boot {
  readonly kernelPath: string;
  readonly kernel: KernelOrigin;
  readonly initrdPath: string;
  readonly rootfsPath: string;
  readonly rootfsFormat: RootfsFormat;
  /** the root is a base below a writable disk; false: it is the one writable disk */
  readonly overlay: boolean;
  /** size of a root that is the writable disk itself */
  readonly rootfsBytes: number | undefined;
  /** where the writable disk starts from (seed.ts) */
  readonly seedPath: string;
  /** the image that is behind it, or undefined if kernel and root are both the user's own */
  readonly image: Image | undefined;
}

/** The fast kernel that is to be booted, or undefined for the image's own. */
async function fastKernel(dirs: ImageDirs, request: BootRequest): Promise<BuiltKernel | undefined> {
  const { kernel = "auto", machine, arch } = request;
  if (kernel === "debian") return undefined;
  // It has no PCI. And an initramfs of the user's own may bring modules, which fit one kernel only.
  const fits = machine !== "q35" && request.initrdPath === undefined;
  if (kernel === "auto") return fits ? usedKernel(dirs, arch) : undefined;
  if (machine === "q35") {
    throw new SmolVMError(
      "CONFIG_INVALID",
      "the fast kernel does not boot on the machine q35: it has no PCI",
      {
        hint: 'Use qemuMachine "auto", or kernel "debian".',
      },
    );
  }
  const built = await anyKernel(dirs, arch);
  if (built === undefined) {
    throw new SmolVMError("IMAGE_NOT_FOUND", `no fast kernel is built for ${arch}`, {
      hint: `Build it: smolvm image kernel build --arch ${arch}`,
    });
  }
  return built;
}

/** A root that is to be written itself. @throws SmolVMError IMAGE_INVALID, FILE_TYPE, FILE_PERMISSION */
async function checkSharedRootfs(path: string, format: RootfsFormat): Promise<UserDisk> {
  if (format !== "ext4") {
    throw new SmolVMError(
      "IMAGE_INVALID",
      `the root file system '${path}' is ${format}, which cannot be written`,
      {
        hint: 'diskMode "shared" needs an ext4 image: mke2fs -t ext4 -d DIRECTORY rootfs.img 1G. Without diskMode it is used read-only.',
        details: { rootfsPath: path },
      },
    );
  }
  return await checkUserDisk("rootfsPath", path, { readOnly: false });
}

/**
 * Finds and checks everything that a boot needs; what is not in the store may come from an installed guest bundle. Without `initrdPath` ours is used; it holds the image's modules only
 * with the image's kernel (or a file of the same content), because modules fit one kernel: a kernel of the user's own must have what it needs built in
 * (virtio devices and the console's, the root's file system, ext4, overlayfs).
 * @throws SmolVMError IMAGE_NOT_FOUND (image, or fast kernel), IMAGE_INVALID, CONFIG_INVALID, FILE_NOT_FOUND, FILE_TYPE,
 *   FILE_PERMISSION, DEPENDENCY_MISSING
 */
export async function resolveBoot(dirs: ImageDirs, request: BootRequest): Promise<Boot> {
  const { arch, kernelPath, initrdPath, rootfsPath } = request;
  const overlay = (request.diskMode ?? "isolated") === "isolated";
  // The user's own files first: a mistake in them is told even where there is no image yet.
  const rootfs =
    rootfsPath === undefined ? undefined : await checkUserRootfs(rootfsPath, { readOnly: overlay });
  const disk =
    rootfsPath === undefined || overlay ? undefined : await checkSharedRootfs(rootfsPath, rootfs!.format);
  const ownKernel = kernelPath === undefined ? undefined : await prepareUserKernel(dirs, kernelPath, arch);
  if (initrdPath !== undefined) await checkUserInitrd(initrdPath);

  const image = await findImage(dirs, request.image, arch, request);
  const rootfsFormat = rootfs?.format ?? image.rootfsFormat;
  const fast = ownKernel === undefined ? await fastKernel(dirs, request) : undefined;
  const modulesFit = ownKernel === undefined ? fast === undefined : ownKernel.sha256 === image.kernelSha256;
  const modules: readonly KernelModule[] = modulesFit ? image.modules : [];
  const needs = {
    machine: request.machine,
    nic: request.nic,
    rootfsFormat,
    overlay,
    mounted: request.mounted,
  };
  return {
    kernelPath: (ownKernel ?? fast ?? { path: image.kernelPath }).path,
    kernel: ownKernel ? "custom" : fast ? "fast" : "debian",
    initrdPath:
      initrdPath ?? (await prepareInitrd(dirs, modules, { ...needs, agentPath: agentFile(dirs, arch) })),
    rootfsPath: disk?.path ?? rootfsPath ?? image.rootfsPath,
    rootfsFormat,
    overlay,
    rootfsBytes: disk?.bytes,
    seedPath: image.seedPath,
    image: ownKernel !== undefined && rootfs !== undefined ? undefined : image,
  };
}
