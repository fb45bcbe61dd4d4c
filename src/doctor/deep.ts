import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { isSmolVMError } from "../errors.ts";
import { limitsInForce } from "../host/linux/cgroup.ts";
import { type ProcessGuards, processGuards } from "../host/process/process-guards.ts";
import { runProgram } from "../host/process/run.ts";
import { SmolVM } from "../smolvm.ts";
import { storePath } from "../store/store.ts";
import { Deadline } from "../util/deadline.ts";
import { monotonicMs } from "../util/monotonic.ts";
import { type CheckResult, type DoctorContext, fail, pass } from "./check.ts";
import { compareBackend, compareIsolation, compareSpeed, type Seen } from "./compare.ts";

/**
 * Boots a sandbox as the checks say that one would be, looks at it from both sides, and removes it. What differs from
 * what was predicted is a failure.
 * @throws SmolVMError ABORTED
 */
export async function proveByBooting(
  context: DoctorContext,
  options: { signal?: AbortSignal | undefined; onProgress?: ((message: string) => void) | undefined },
): Promise<CheckResult[]> {
  const { signal, onProgress = () => {} } = options;
  if ("error" in context.selection) {
    return [fail("Boot", "not tried: no backend can run", context.selection.error.hint)];
  }
  onProgress("booting a sandbox");
  const startedAt = monotonicMs();
  let vm: SmolVM | undefined;
  try {
    vm = await SmolVM.create({ backend: context.backend, network: "off", pull: "never", signal });
    const word = `checked-${startedAt}`;
    const { stdout } = await vm.run(["echo", word], { signal });
    const firstOutputMs = monotonicMs() - startedAt;
    if (stdout !== `${word}\n`) {
      return [fail("Boot", `the sandbox printed '${stdout.slice(0, 80)}' instead of '${word}'`, REPORT)];
    }
    onProgress("looking at it");
    const seen = await look(vm, context, signal);
    const gone = await remove(vm, seen.pid);
    vm = undefined;
    return [
      pass("Boot", `first checked output after ${(firstOutputMs / 1000).toFixed(1)} s`),
      ...compareBackend(context, seen),
      compareSpeed(context, seen),
      compareIsolation(context, seen),
      gone,
    ];
  } catch (error) {
    if (signal?.aborted || !isSmolVMError(error)) throw error;
    return [fail("Boot", error.message, error.hint)];
  } finally {
    await vm?.delete({ force: true }).catch(() => {}); // the first failure is the one to tell
  }
}

const REPORT = "Please report it, with: smolvm doctor --deep --json";

async function look(
  vm: SmolVM,
  context: DoctorContext,
  signal: AbortSignal | undefined,
): Promise<Seen & { pid: number | undefined }> {
  const { backend, accelerator, isolation, pid } = await vm.info();
  const inside = async (command: string): Promise<string> =>
    (await vm.run(command, { signal, check: true })).stdout.trim();
  const guards: ProcessGuards | undefined =
    context.platform === "linux" && pid !== undefined ? processGuards(pid) : undefined;
  return {
    backend,
    accelerator,
    pid,
    guards,
    tier: isolation.tier,
    limits: pid === undefined ? {} : limitsInForce(pid),
    seesStore: pid !== undefined && existsSync(join(`/proc/${pid}/root`, storePath(context.paths.dataDir))),
    slowdown: await slowdown(vm, context, signal),
    interfaces: (await inside("ls /sys/class/net")).split(/\s+/),
    ownKernel: (await inside("cat /proc/sys/kernel/random/boot_id")) !== hostBootId(),
  };
}

function hostBootId(): string {
  try {
    return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  } catch {
    return "";
  }
}

/** A loop of the shell that takes some hundredths of a second on the host, and no memory or disk. */
const LOOP = "i=0; while [ $i -lt 25000 ]; do i=$((i+1)); done";

/** How many times longer the same loop takes in the guest; the better of two, because a busy host disturbs both sides. */
async function slowdown(
  vm: SmolVM,
  { platform }: DoctorContext,
  signal: AbortSignal | undefined,
): Promise<number | undefined> {
  if (platform === "win32") return undefined;
  const deadline = Deadline.of("measuring this machine", { signal });
  const here = await best(async () => (await runProgram(["/bin/sh", "-c", LOOP], { deadline })).durationMs);
  const there = await best(async () => (await vm.run(LOOP, { signal, check: true })).durationMs);
  return there / here;
}

async function best(measure: () => Promise<number>): Promise<number> {
  return Math.min(await measure(), await measure());
}

async function remove(vm: SmolVM, pid: number | undefined): Promise<CheckResult> {
  await vm.delete({ force: true });
  const left = pid === undefined ? undefined : processGuards(pid);
  return left === undefined
    ? pass("Removal", "nothing is left of it")
    : fail("Removal", `its process ${pid} is still there`, "smolvm gc");
}
