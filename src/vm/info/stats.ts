import { allocatedBytes, processUsage } from "../../host/process/process-usage.ts";
import type { VmState } from "../../store/states.ts";
import { STEADY } from "../../store/states.ts";
import type { VmRecord } from "../../store/vms.ts";
import { writableDisk } from "../disks/drives.ts";
import { filesOf, type Home } from "../home.ts";

/** What a sandbox uses of the host now. What the host cannot tell, or what does not run, is absent. */
export interface VMStats {
  readonly id: string;
  readonly name: string;
  readonly state: VmState;
  /** process id of its virtual machine monitor */
  readonly pid: number | undefined;
  /** host memory of the virtual machine monitor, the guest's included as far as the guest has touched it */
  readonly memoryBytes: number | undefined;
  /** "pss": shared pages are counted in part; "rss": in full, where the host does not tell the former */
  readonly memoryKind: "pss" | "rss" | undefined;
  /** CPU time of the virtual machine monitor since it was started, the guest's included */
  readonly cpuTimeMs: number | undefined;
  /** what the sandbox's writable disk takes on the host's */
  readonly diskBytes: number | undefined;
  /** virtual CPUs that it was given */
  readonly vcpuCount: number;
  /** memory that it was given */
  readonly memSizeMib: number;
  /** size of its writable disk, which takes room as it fills */
  readonly diskSizeMib: number;
}

/** Reads what a sandbox uses. */
export async function readStats(home: Home, record: VmRecord): Promise<VMStats> {
  const vmm = STEADY.has(record.state) ? record.vmm : undefined;
  const usage = vmm && processUsage(vmm);
  return {
    id: record.id,
    name: record.name,
    state: record.state,
    pid: vmm?.pid,
    memoryBytes: usage?.memoryBytes,
    memoryKind: usage?.memoryKind,
    cpuTimeMs: usage?.cpuTimeMs,
    diskBytes: await allocatedBytes(writableDisk(record.spec)?.path ?? filesOf(home, record.id).upper),
    vcpuCount: record.spec.machine.vcpuCount,
    memSizeMib: record.spec.machine.memSizeMib,
    diskSizeMib: record.spec.diskSizeMib,
  };
}
