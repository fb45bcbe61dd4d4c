import { realpathSync, statSync } from "node:fs";
import { backendOf } from "../../backends/registry.ts";
import type { VmSpec } from "../../config/spec.ts";
import { cpuIdentity } from "../../host/hardware/cpu.ts";
import type { TemplateDirs } from "../../snapshots/layout.ts";
import type { FileIdentity, FileRole, MachineFacts } from "../../snapshots/machine-facts.ts";

/** What is as it must be for a machine to go on from the memory of another. @throws as statSync does, for what is gone */
export function machineFacts({ cacheDir }: TemplateDirs, spec: VmSpec): MachineFacts {
  const { machine, seedPath, diskSizeMib } = spec;
  const backend = backendOf(machine.backend);
  const paths: [FileRole, string | undefined][] = [
    ["vmm", backend.program(machine)],
    ["kernel", machine.kernelPath],
    ["initrd", machine.initrdPath],
    ["seed", seedPath],
    ...machine.disks.filter(({ readOnly }) => readOnly).map(({ path }): [FileRole, string] => ["base", path]),
  ];
  const files = paths.flatMap(([role, path]) =>
    path === undefined ? [] : [identityOf(role, path, cacheDir)],
  );
  return { shape: backend.shape?.(machine) ?? [], diskSizeMib, files, cpu: cpuIdentity() };
}

/** What lies in our cache is named by its content, and its time is that of its last use. */
function identityOf(role: FileRole, path: string, cacheDir: string): FileIdentity {
  const real = realpathSync.native(path);
  const { size, mtimeMs, ino } = statSync(real);
  return { role, path: real, size, mtimeMs: path.startsWith(`${cacheDir}/`) ? 0 : mtimeMs, inode: ino };
}
