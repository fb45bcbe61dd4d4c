import { chmod, mkdir, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { Apt } from "../../src/images/debian/apt.ts";
import { hostMirror } from "../../src/images/debian/mirror.ts";
import { CPIO_DIRECTORY, CPIO_FILE, type CpioEntry, writeCpio } from "../../src/images/formats/cpio.ts";
import { findModules, kernelPackage, modulesDir } from "../../src/images/kernel/debian-kernel.ts";
import { loadOrder, stripModuleSignature } from "../../src/images/kernel/modules.ts";
import type { Deadline } from "../../src/util/deadline.ts";

/** What a lab boots: Debian's full kernel, and an initramfs of busybox and modules. */
export interface LabParts {
  readonly kernelPath: string;
  readonly initrdPath: string;
}

/** Raised when what is made of the packages changes. */
const LAYOUT_VERSION = 2;

/** The modules that the lab loads, with all they depend on. What the kernel has built in is left out by itself. */
const LAB_MODULES: readonly string[] = [
  // a cipher that others ask for by name, as they come
  "crc32c_generic",
  // its own devices and root
  ...["virtio_pci", "virtio_console", "virtio_net", "virtio_rng", "9pnet_virtio", "9p", "overlay"],
  // what VMMs need
  ...["kvm_amd", "tun", "vhost_vsock", "vhost_net"],
  // what host networking needs
  ...[
    "veth",
    "bridge",
    "dummy",
    "nf_tables",
    "nft_chain_nat",
    "nft_masq",
    "nft_nat",
    "nft_ct",
    "nft_connlimit",
    "nft_limit",
    "nft_log",
  ],
  ...["nft_reject_inet", "nft_fib_inet", "nft_compat", "sch_tbf", "sch_ingress"],
  // disks and their file systems
  ...["loop", "ext4", "squashfs", "erofs", "fuse"],
];

/** Where what labs are made of is kept: not in smolvm's own cache, which tests move and clear. */
export function labCacheDir(): string {
  return join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "smolvm-lab");
}

/**
 * The lab's kernel and initramfs; fetched with apt when first asked for (it checks them against Debian's signatures),
 * without installing anything.
 * @param init the text of init.sh
 */
export async function prepareParts(
  init: string,
  deadline: Deadline,
  note: (message: string) => void,
): Promise<LabParts> {
  const packages = join(labCacheDir(), `packages-${LAYOUT_VERSION}`);
  if (!(await isThere(join(packages, "vmlinuz")))) await fetchPackages(packages, deadline, note);
  const initrdPath = join(packages, "initramfs.cpio");
  // Written anew each time: it takes milliseconds, and init.sh may have changed.
  const temporary = `${initrdPath}.${process.pid}`;
  await writeFile(temporary, await initramfs(packages, init));
  await rename(temporary, initrdPath);
  return { kernelPath: join(packages, "vmlinuz"), initrdPath };
}

async function fetchPackages(
  target: string,
  deadline: Deadline,
  note: (message: string) => void,
): Promise<void> {
  note("fetching the lab's kernel and busybox with apt (once)");
  await mkdir(labCacheDir(), { recursive: true, mode: 0o700 });
  const work = await mkdtemp(join(labCacheDir(), "fetch-"));
  try {
    const apt = await Apt.open(join(work, "apt"), {
      arch: "x86_64",
      mirror: await hostMirror(deadline),
      deadline,
    });
    await apt.unpack(await apt.download("busybox-static"), join(work, "busybox"));
    const made = join(work, "made");
    await unpackFullKernel(apt, work, made, LAB_MODULES);
    await rename(join(work, "busybox", "bin", "busybox"), join(made, "busybox"));
    await rm(target, { recursive: true, force: true });
    await rename(made, target);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/**
 * Debian's full kernel: `vmlinuz` and, in `modules`, the wanted ones with all they depend on; `modules/order` has their files' names in the
 * order in which they are loaded.
 * @param work a directory for what comes in between
 */
export async function unpackFullKernel(
  apt: Apt,
  work: string,
  target: string,
  wanted: readonly string[],
): Promise<void> {
  const kernel = kernelPackage((await apt.show("linux-image-amd64")).get("Depends") ?? "");
  const version = kernel.replace(/^linux-image-/, "");
  await apt.unpack(await apt.download(kernel), join(work, "kernel"));
  await mkdir(join(target, "modules"), { recursive: true });
  const found = await findModules(await modulesDir(join(work, "kernel"), version), wanted);
  const order = loadOrder(found, wanted);
  for (const { name, path } of order)
    await writeFile(join(target, "modules", `${name}.ko`), stripModuleSignature(await readFile(path)));
  await writeFile(join(target, "modules", "order"), order.map(({ name }) => `${name}.ko\n`).join(""));
  await rename(join(work, "kernel", "boot", `vmlinuz-${version}`), join(target, "vmlinuz"));
  await chmod(join(target, "vmlinuz"), 0o644);
}

async function initramfs(packages: string, init: string): Promise<Uint8Array> {
  const file = async (path: string, from: string, mode: number): Promise<CpioEntry> => ({
    path,
    mode: CPIO_FILE | mode,
    data: await readFile(join(packages, from)),
  });
  const modules = (await readdir(join(packages, "modules"))).sort();
  return writeCpio([
    { path: "bin", mode: CPIO_DIRECTORY | 0o755 },
    await file("bin/busybox", "busybox", 0o755),
    { path: "init", mode: CPIO_FILE | 0o755, data: Buffer.from(init) },
    { path: "modules", mode: CPIO_DIRECTORY | 0o755 },
    ...(await Promise.all(modules.map((name) => file(`modules/${name}`, join("modules", name), 0o644)))),
  ]);
}

async function isThere(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
