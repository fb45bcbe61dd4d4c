/**
 * What each part of a cold boot costs: from QEMU's start to the first command's output, by the lines that the agent prints at
 * each stage. Wall time and QEMU's own CPU time, which a busy machine falsifies less.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { countOption, type ProgramSpec, program } from "../scripts/program.ts";
import type { VMConfig } from "../src/index.ts";
import { GUEST_OPTIONS } from "./command-line.ts";
import { RawAgent } from "./floor/raw-agent.ts";
import { endVmm, lendMachine, type RawMachine } from "./machine.ts";
import { withOwnHome } from "./own-home.ts";

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

const SPEC: ProgramSpec = {
  invocation: "node bench/boot-parts.ts",
  summary: "Measure what each part of a cold boot costs.",
  usage: "[OPTIONS]",
  operands: { min: 0, max: 0, what: "nothing" },
  options: [
    ...GUEST_OPTIONS,
    { name: "image", value: "IMAGE", help: "image to boot (default: debian)" },
    { name: "n", value: "N", help: "boots (default: 10)" },
    { name: "append", value: "WORDS", help: "added to the kernel's command line" },
    { name: "machine", value: "OPTIONS", help: "added to QEMU's -machine" },
  ],
  notes: ["--append and --machine are for trying what would be faster."],
  examples: ["node bench/boot-parts.ts --kernel fast --n 20"],
};

await program(SPEC, async (args) => {
  const n = countOption(args, "n") ?? 10;
  const given = ["kernel", "arch", "image"].map((name) => [name, args.value(name)] as const);
  const options = {
    network: "off",
    bootArgs: args.value("append") ?? "",
    ...Object.fromEntries(given.filter(([, value]) => value !== undefined)),
  } as VMConfig;
  await withOwnHome(async () => {
    await using lent = await lendMachine(options);
    const { machine } = lent;
    const argv = [...machine.argv];
    const added = args.value("machine");
    if (added !== undefined) argv[argv.indexOf("-machine") + 1] += `,${added}`;
    const boots: Record<string, Mark>[] = [];
    for (let i = 0; i < n; i++) boots.push(await boot({ ...machine, argv }));
    print(boots);
  });
  return undefined;
});

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
