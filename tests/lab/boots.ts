/**
 * Boots sandboxes one after the other, in the lab, and says of each how long it took; of one that stands still, what its
 * threads and the lab's interrupts do. npm run lab -- node tests/lab/boots.ts --help
 */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { countOption, type ProgramSpec, program } from "../../scripts/program.ts";
import { SmolVM, type VMConfig } from "../../src/index.ts";

const SPEC: ProgramSpec = {
  invocation: "npm run lab -- node tests/lab/boots.ts",
  summary: "Boot sandboxes one after the other, and say what one does that stands still.",
  usage: "[OPTIONS]",
  operands: { min: 0, max: 0, what: "nothing" },
  options: [
    { name: "backend", value: "NAME", help: "qemu or firecracker (default)" },
    { name: "count", value: "N", help: "boots (default: 40)" },
    { name: "slow", value: "SECONDS", help: "after which one is said to stand still (default: 15)" },
  ],
  notes: ["The last line counts; the exit code is 1 if a boot failed or stood still."],
  examples: ["npm run lab -- node tests/lab/boots.ts --count 20"],
};

await program(SPEC, async (args) => {
  const backend = (args.value("backend") ?? "firecracker") as NonNullable<VMConfig["backend"]>;
  const count = countOption(args, "count") ?? 40;
  const slowMs = (countOption(args, "slow") ?? 15) * 1000;
  const times: number[] = [];
  let failed = 0;
  for (let round = 1; round <= count; round++) {
    const started = performance.now();
    const watcher = setTimeout(() => void describeStill(), slowMs);
    try {
      await using vm = await SmolVM.create({
        backend: backend,
        accelerator: "kvm",
        network: "off",
        memSizeMib: 256,
        timeoutMs: 4 * slowMs,
      });
      const booted = performance.now() - started;
      await vm.run("echo hello");
      times.push(booted);
      console.log(
        `${round} ${booted.toFixed(0)} ms, command ${(performance.now() - started - booted).toFixed(0)} ms`,
      );
    } catch (error) {
      failed++;
      const { code, message, details } = error as {
        code?: string;
        message: string;
        details?: { console?: unknown };
      };
      console.log(
        `${round} FAILED after ${(performance.now() - started).toFixed(0)} ms: ${code} ${message}\n${String(details?.console)}`,
      );
    } finally {
      clearTimeout(watcher);
    }
  }
  times.sort((a, b) => a - b);
  const at = (share: number): string =>
    `${(times[Math.min(times.length - 1, Math.floor(times.length * share))] ?? Number.NaN).toFixed(0)} ms`;
  const still = times.filter((ms) => ms > slowMs).length;
  console.log(
    `${backend}: ${times.length} booted (p10 ${at(0.1)}, p50 ${at(0.5)}, p90 ${at(0.9)}, most ${at(1)}), ${still} stood still for a while, ${failed} failed`,
  );
  return failed + still > 0 ? 1 : 0;
});

/** What can be seen of a machine that does not go on. */
async function describeStill(): Promise<void> {
  const before = interrupts();
  await new Promise((resolve) => setTimeout(resolve, 2000));
  const after = interrupts();
  console.log(
    `  interrupts in 2 s (${before.length} CPUs): ${after.map((n, cpu) => n - (before[cpu] ?? 0)).join(" ")}`,
  );
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      const program = readlinkSync(`/proc/${pid}/exe`);
      if (!/firecracker|qemu-system/.test(program)) continue;
      for (const thread of readdirSync(`/proc/${pid}/task`)) {
        const of = (file: string): string => read(`/proc/${pid}/task/${thread}/${file}`);
        const stat = of("stat")
          .replace(/^.*\) /, "")
          .split(" ");
        console.log(
          `  ${thread} ${of("comm").trim()}: ${stat[0]}, utime ${stat[11]}, stime ${stat[12]}, CPU ${stat[36]}, ${of("wchan")}, ${of("syscall").trim()}`,
        );
        console.log(of("stack").replaceAll(/^/gm, "    "));
      }
    } catch {
      // it ended
    }
  }
  for (const file of ["/proc/interrupts", "/proc/timer_list"]) console.log(read(file));
}

/** The local timer's interrupts per CPU. */
function interrupts(): number[] {
  const line = /^ *LOC: +([\d ]+)/m.exec(read("/proc/interrupts"))?.[1] ?? "";
  return line.trim().split(/ +/).map(Number);
}

function read(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}
