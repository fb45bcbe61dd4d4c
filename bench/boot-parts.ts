/**
 * What each part of a cold boot costs: from QEMU's start to the first command's output, by the lines that the agent prints at
 * each stage. Wall time and QEMU's own CPU time, which a busy machine falsifies less.
 *
 *   node bench/boot-parts.ts [--kernel fast|debian] [--arch x86_64|aarch64] [--image NAME] [--n 10] [--append ARGS]
 *                            [--machine OPTIONS]
 *
 * --append adds to the kernel's command line, --machine to QEMU's -machine: for trying what would be faster.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { VMConfig } from "../src/index.ts";
import { RawAgent } from "./floor.ts";
import { endVmm, lendMachine, type RawMachine } from "./machine.ts";

/** In the order in which they come; the agent's own are the names of its stages (guest/src/boot/). */
const PARTS: Readonly<Record<string, string>> = {
  init: "QEMU and kernel, up to the agent's first line",
  modules: "kernel modules",
  disks: "finding the disks",
  root: "mounting them, overlay, new root",
  ready: "channels",
  hello: "hello over the channel",
  output: "first command: echo hi",
};

interface Mark {
  readonly wallMs: number;
  readonly cpuMs: number;
}

const { values } = parseArgs({
  options: {
    kernel: { type: "string" },
    arch: { type: "string" },
    image: { type: "string" },
    n: { type: "string", default: "10" },
    append: { type: "string", default: "" },
    machine: { type: "string", default: "" },
  },
});

// A home of its own, so that nothing of the user's is touched; images come from the user's cache.
const home = mkdtempSync(join(tmpdir(), "smb-"));
process.env.XDG_DATA_HOME = join(home, "data");
process.env.XDG_RUNTIME_DIR = join(home, "run");
mkdirSync(process.env.XDG_RUNTIME_DIR, { mode: 0o700 });

try {
  const options = {
    network: "off",
    bootArgs: values.append,
    ...(values.kernel === undefined ? {} : { kernel: values.kernel }),
    ...(values.arch === undefined ? {} : { arch: values.arch }),
    ...(values.image === undefined ? {} : { image: values.image }),
  } as VMConfig;
  await using lent = await lendMachine(options);
  const { machine } = lent;
  const argv = [...machine.argv];
  if (values.machine !== "") argv[argv.indexOf("-machine") + 1] += `,${values.machine}`;
  const boots: Record<string, Mark>[] = [];
  for (let i = 0; i < Number(values.n); i++) boots.push(await boot({ ...machine, argv }));
  print(boots);
} finally {
  rmSync(home, { recursive: true, force: true });
}

/** One boot: when each part was done. */
async function boot({ argv, socket, greeting }: RawMachine): Promise<Record<string, Mark>> {
  const marks: Record<string, Mark> = {};
  const started = performance.now();
  const vmm = spawn(argv[0]!, argv.slice(1), { stdio: ["ignore", "pipe", "ignore"] });
  const mark = (name: string): void => {
    marks[name] ??= { wallMs: performance.now() - started, cpuMs: cpuMs(vmm) };
  };
  let text = "";
  const ready = new Promise<void>((resolve, reject) => {
    vmm.stdout!.on("data", (chunk: Buffer) => {
      text += chunk.toString("latin1");
      for (const name of Object.keys(PARTS)) if (text.includes(`smolvm-agent: ${name}\r`)) mark(name);
      if (marks.ready !== undefined) resolve();
    });
    vmm.once("exit", () => reject(new Error(`the machine ended: ${text.slice(-2000)}`)));
  });
  await ready;
  const agent = await RawAgent.connect(socket, greeting);
  mark("hello");
  const { text: output } = await agent.run("echo hi");
  if (output !== "hi\n") throw new Error(`the command printed '${output}'`);
  mark("output");
  agent.close();
  await endVmm(vmm);
  return marks;
}

/** CPU time of a process, user and system (proc(5): stat, fields 14 and 15, in ticks of 10 ms). */
function cpuMs(vmm: ChildProcess): number {
  const fields = readFileSync(`/proc/${vmm.pid}/stat`, "utf8")
    .replace(/^.*\) /, "")
    .split(" ");
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

function print(boots: readonly Record<string, Mark>[]): void {
  const names = Object.keys(PARTS);
  console.log(`n ${boots.length}; wall ms min / median, QEMU's CPU ms min / median`);
  for (const [index, name] of names.entries()) {
    const before = index === 0 ? undefined : names[index - 1];
    const column = (pick: (mark: Mark) => number): string => {
      const samples = boots
        .map((marks) => pick(marks[name]!) - (before === undefined ? 0 : pick(marks[before]!)))
        .sort((a, b) => a - b);
      return `${samples[0]!.toFixed(0).padStart(6)} / ${samples[samples.length >> 1]!.toFixed(0).padStart(5)}`;
    };
    console.log(`${column((mark) => mark.wallMs)}  ${column((mark) => mark.cpuMs)}  ${PARTS[name]}`);
  }
  const total = (pick: (mark: Mark) => number): string => {
    const samples = boots.map((marks) => pick(marks.output!)).sort((a, b) => a - b);
    return `${samples[0]!.toFixed(0).padStart(6)} / ${samples[samples.length >> 1]!.toFixed(0).padStart(5)}`;
  };
  console.log(`${total((mark) => mark.wallMs)}  ${total((mark) => mark.cpuMs)}  all`);
}
