import { createHash } from "node:crypto";
import type { MachineSpec } from "../config/spec.ts";

/** A file by what tells it from every other and from its own later self. */
export interface FileIdentity {
  readonly path: string;
  readonly size: number;
  readonly mtimeMs: number;
  readonly inode: number;
}

/** All on which it depends whether a machine can go on from a template's memory. */
export interface TemplateFacts {
  readonly machine: Pick<
    MachineSpec,
    | "backend"
    | "arch"
    | "machine"
    | "accelerator"
    | "vcpuCount"
    | "memSizeMib"
    | "bootArgs"
    | "network"
    | "networkCard"
    | "discovery"
    | "sessionPorts"
  >;
  /** serial numbers and kinds of its disks, in order */
  readonly disks: readonly string[];
  readonly diskSizeMib: number;
  /** the VMM, the kernel, the initramfs (with the agent in it), the read-only base */
  readonly files: readonly FileIdentity[];
  /** the host's CPU: its name and its features */
  readonly cpu: string;
}

/** Changes when templates of an older version of this program must not be used. */
const FORMAT = 1;

/** The name of the template for such a machine: 32 hex digits of SHA-256. Pure. */
export function templateKey({ machine, disks, diskSizeMib, files, cpu }: TemplateFacts): string {
  // Named one by one: the order of the members counts, and what else the spec says does not.
  const facts = [
    FORMAT,
    [
      machine.backend,
      machine.arch,
      machine.machine,
      machine.accelerator,
      machine.vcpuCount,
      machine.memSizeMib,
    ],
    [machine.bootArgs, machine.network, machine.networkCard, machine.discovery, machine.sessionPorts],
    disks,
    diskSizeMib,
    files.map(({ path, size, mtimeMs, inode }) => [path, size, mtimeMs, inode]),
    cpu,
  ];
  return createHash("sha256").update(JSON.stringify(facts)).digest("hex").slice(0, 32);
}
