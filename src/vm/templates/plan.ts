import { realpathSync, statSync } from "node:fs";
import { backendOf } from "../../backends/registry.ts";
import type { VmSpec } from "../../config/spec.ts";
import { cpuIdentity } from "../../host/hardware/cpu.ts";
import type { TemplateDirs } from "../../snapshots/layout.ts";
import { type FileIdentity, templateKey } from "../../snapshots/template-key.ts";

/** The template for a sandbox's first start, or why it can have none. */
export type TemplatePlan = { readonly key: string } | { readonly why: string };

/** Which template the first start of such a sandbox may go on from. Later starts have a disk that no template knows. */
export function planTemplate({ cacheDir }: TemplateDirs, spec: VmSpec): TemplatePlan {
  const why = unfit(spec);
  if (why !== undefined) return { why };
  const { machine, seedPath, diskSizeMib } = spec;
  const backend = backendOf(machine.backend);
  const program = backend.program(machine);
  const bases = machine.disks.filter(({ readOnly }) => readOnly).map(({ path }) => path);
  const paths = [program, machine.kernelPath, machine.initrdPath, seedPath, ...bases];
  try {
    const files = paths.flatMap((path) => (path === undefined ? [] : [identityOf(path, cacheDir)]));
    const shape = backend.shape?.(machine) ?? [];
    return { key: templateKey({ shape, diskSizeMib, files, cpu: cpuIdentity() }) };
  } catch (error) {
    return { why: `what it boots from cannot be read: ${(error as Error).message}` };
  }
}

/** The sandbox that is booted for a template: of the one that it is like, the machine and its disk's size, and nothing else. Pure. */
export function templateSpec(like: VmSpec): VmSpec {
  return { ...like, hostname: "template", env: {}, workdir: undefined, user: undefined, lifetime: "owner" };
}

/** What only a boot can give a machine. */
function unfit({ template = "off", machine, seedPath }: VmSpec): string | undefined {
  if (template === "off") return "templates are switched off";
  if (!backendOf(machine.backend).features.templates) return `${machine.backend} has none yet`;
  if (machine.transport === "tcp") return "machines that are reached through a relay have none yet";
  if (machine.gdbPort !== undefined) return "gdb is asked for";
  if (seedPath === undefined) return "its disk is the user's own";
  if (machine.disks.some(({ serial }) => serial.startsWith("extra-")))
    return "it has drives of the user's own";
  return undefined;
}

/** What lies in our cache is named by its content, and its time is that of its last use. */
function identityOf(path: string, cacheDir: string): FileIdentity {
  const real = realpathSync(path);
  const { size, mtimeMs, ino } = statSync(real);
  return { path: real, size, mtimeMs: path.startsWith(`${cacheDir}/`) ? 0 : mtimeMs, inode: ino };
}
