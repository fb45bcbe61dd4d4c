import { readdirSync, readFileSync, readlinkSync } from "node:fs";

/** What the kernel has around a process. Linux only. */
export interface ProcessGuards {
  readonly uid: number;
  /** a seccomp filter is on */
  readonly seccomp: boolean;
  readonly noNewPrivileges: boolean;
  /** it has capabilities in effect */
  readonly capable: boolean;
  /** namespaces that it does not share with us, e.g. "pid", "net" */
  readonly ownNamespaces: readonly string[];
  /** it has a virtual machine of KVM's open */
  readonly usesKvm: boolean;
}

/** Reads what is around a process; undefined where that cannot be read (other systems, other users' processes). */
export function processGuards(pid: number): ProcessGuards | undefined {
  try {
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    const field = (name: string): string => new RegExp(`^${name}:\\s*(\\S+)`, "m").exec(status)?.[1] ?? "";
    return {
      uid: Number(field("Uid")),
      seccomp: field("Seccomp") === "2", // proc(5): 2 is a filter
      noNewPrivileges: field("NoNewPrivs") === "1",
      capable: !/^0*$/.test(field("CapEff")),
      ownNamespaces: readdirSync(`/proc/${pid}/ns`).filter(
        (name) =>
          !name.includes("_for_") && link(`/proc/${pid}/ns/${name}`) !== link(`/proc/self/ns/${name}`),
      ),
      usesKvm: readdirSync(`/proc/${pid}/fd`).some((fd) =>
        link(`/proc/${pid}/fd/${fd}`).startsWith("anon_inode:kvm-vm"),
      ),
    };
  } catch {
    return undefined;
  }
}

function link(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return ""; // closed while we looked
  }
}
