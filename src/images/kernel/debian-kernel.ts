import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import type { Arch } from "../../config/spec.ts";
import { SmolVMError } from "../../errors.ts";
import { type Apt, debianArch } from "../debian/apt.ts";
import type { KernelModule } from "../store/image.ts";
import { KEPT_MODULES, loadOrder, moduleDepends, moduleName, stripModuleSignature } from "./modules.ts";
import { extractVmlinux } from "./vmlinux.ts";

/** A kernel that was made ready in a directory. */
export interface PreparedKernel {
  /** e.g. "6.1.0-56-cloud-amd64" */
  readonly version: string;
  /** name and version of the Debian package */
  readonly packageName: string;
  readonly packageVersion: string;
  /** file in the directory */
  readonly file: string;
  /** files in the directory, with what each depends on */
  readonly modules: readonly { name: string; file: string; depends: readonly string[] }[];
}

/** The file of the kernel in an image's directory. */
export const KERNEL_FILE: Readonly<Record<Arch, string>> = { x86_64: "vmlinux", aarch64: "Image" };

/**
 * Takes Debian's cloud kernel from apt and puts what is booted into `target`: the uncompressed kernel and the modules
 * that an initramfs may need, without their signatures (see modules.ts).
 * @throws SmolVMError IMAGE_BUILD_FAILED, IMAGE_INVALID
 */
export async function prepareKernel(
  apt: Apt,
  arch: Arch,
  workDir: string,
  target: string,
): Promise<PreparedKernel> {
  const packageName = kernelPackage(
    (await apt.show(`linux-image-cloud-${debianArch(arch)}`)).get("Depends") ?? "",
  );
  const packageVersion = (await apt.show(packageName)).get("Version") ?? "";
  const unpacked = join(workDir, "kernel");
  await apt.unpack(await apt.download(packageName), unpacked);

  const version = packageName.replace(/^linux-image-/, "");
  const vmlinuz = join(unpacked, "boot", `vmlinuz-${version}`);
  const kernel = await extractVmlinux(await readFile(vmlinuz), vmlinuz);
  if (kernel.arch !== arch)
    throw new SmolVMError("IMAGE_INVALID", `${packageName} is a kernel for ${kernel.arch}`);
  await writeFile(join(target, KERNEL_FILE[arch]), kernel.bytes);

  await mkdir(join(target, "modules"));
  const modules = [];
  for (const module of await findModules(await modulesDir(unpacked, version), KEPT_MODULES)) {
    const file = join("modules", `${module.name}.ko`);
    await writeFile(join(target, file), stripModuleSignature(await readFile(module.path)));
    modules.push({ name: module.name, file, depends: module.depends });
  }
  return { version, packageName, packageVersion, file: KERNEL_FILE[arch], modules };
}

/** The versioned kernel package that the meta package depends on: "linux-image-6.1.0-56-cloud-amd64 (= 6.1.192-2)". Pure. */
export function kernelPackage(depends: string): string {
  const name = depends
    .split(",")
    .map((dependency) => dependency.trim().split(/[\s(]/)[0] ?? "")
    .find((dependency) => /^linux-image-\d/.test(dependency));
  if (name === undefined) {
    throw new SmolVMError("IMAGE_BUILD_FAILED", `Debian's kernel meta package names no kernel: '${depends}'`);
  }
  return name;
}

/** Where an unpacked kernel package has its modules: bookworm has /lib/modules, from trixie on it is /usr/lib/modules. */
export async function modulesDir(unpacked: string, version: string): Promise<string> {
  for (const lib of ["lib", "usr/lib"]) {
    const directory = join(unpacked, lib, "modules", version);
    const found = await readdir(directory).catch(() => undefined);
    if (found !== undefined) return directory;
  }
  throw new SmolVMError("IMAGE_BUILD_FAILED", `the kernel package ${version} holds no modules`);
}

/** A module in an unpacked kernel package. */
export type FoundModule = Omit<KernelModule, "sha256">;

/** The wanted modules and all they depend on. Debian's packages hold no modules.dep, so each module's own list is read. */
export async function findModules(directory: string, wanted: readonly string[]): Promise<FoundModule[]> {
  const paths = new Map<string, string>();
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || !/\.ko(\.|$)/.test(entry.name)) continue;
    if (!entry.name.endsWith(".ko")) {
      throw new SmolVMError("IMAGE_BUILD_FAILED", `the kernel's modules are compressed (${entry.name})`);
    }
    paths.set(moduleName(basename(entry.name)), join(entry.parentPath, entry.name));
  }
  const found: FoundModule[] = [];
  const queue = [...wanted];
  for (let name = queue.shift(); name !== undefined; name = queue.shift()) {
    const path = paths.get(name);
    if (path === undefined || found.some((module) => module.name === name)) continue; // built in, or known
    const depends = moduleDepends(await readFile(path));
    found.push({ name, path, depends });
    queue.push(...depends);
  }
  // fails here, and not at a boot, if one is missing
  loadOrder(
    found,
    found.map((module) => module.name),
  );
  return found.sort((a, b) => (a.name < b.name ? -1 : 1));
}
