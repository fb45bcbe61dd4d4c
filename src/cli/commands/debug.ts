import { writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { runDoctor } from "../../doctor/run-doctor.ts";
import { SmolVMError } from "../../errors.ts";
import { packageVersion } from "../../host/package.ts";
import { writeTar } from "../../images/formats/tar.ts";
import { SmolVM } from "../../smolvm.ts";
import { COMMON_OPTIONS } from "../args/options.ts";
import { fileToWrite } from "../args/written-file.ts";
import type { Arguments } from "../arguments.ts";
import type { Command, CommandSpec, Outcome } from "../command.ts";
import type { Io } from "../io.ts";

const spec: CommandSpec = {
  name: "debug",
  usage: "[OPTIONS] NAME",
  operands: { min: 1, max: 1, what: "the sandbox's name", complete: "sandboxes" },
  options: [
    {
      name: "output",
      short: "o",
      value: "FILE",
      help: "the bundle (default: smolvm-debug-NAME-TIME.tar.gz here)",
    },
    ...COMMON_OPTIONS,
  ],
  exit: "plain",
  notes: [
    "The bundle holds the sandbox's record, its console, what QEMU and the agent say of themselves, QEMU's messages, facts about this machine, and what doctor finds. Values of the sandbox's environment and kernel arguments are hidden wherever they appear. Nothing is changed, and the sandbox may be in any state.",
    "What the guest printed on its console is in it: look through the bundle before you give it to somebody.",
  ],
  examples: ["smolvm debug box", "smolvm debug -o box.tar.gz box"],
};

async function debugCommand(io: Io, args: Arguments): Promise<Outcome> {
  const vm = await SmolVM.get(args.operands[0]!);
  const now = new Date();
  const file = fileToWrite(args.value("output") ?? `smolvm-debug-${vm.name}-${stamp(now)}.tar.gz`);
  io.onProgress({ stage: "debug", message: `asking ${vm.name}` });
  const found = await vm.diagnose({ signal: io.interrupts.signal });
  io.onProgress({ stage: "debug", message: "checking this machine" });
  const texts = [
    { name: "README.txt", text: readme(vm.name, now) },
    ...found,
    { name: "doctor.json", text: `${JSON.stringify(await doctorResult(), undefined, 2)}\n` },
  ];
  const directory = `smolvm-debug-${vm.name}`;
  const entries = texts.map(({ name, text }) => ({
    path: `${directory}/${name}`,
    mode: 0o600,
    kind: "file" as const,
    data: Buffer.from(text),
  }));
  const time = Math.floor(now.getTime() / 1000);
  write(file, gzipSync(writeTar([{ path: directory, mode: 0o700, kind: "directory" }, ...entries], time)));
  io.endProgress();
  io.note("Look through it before you give it to somebody: the guest's console is in it.");
  const files = entries.map(({ path, data }) => ({ path, bytes: data.length }));
  return { data: { file, files }, text: () => `${file}\n` };
}

/** The doctor's findings; that it cannot look is a finding, too. */
async function doctorResult(): Promise<unknown> {
  return await runDoctor({}).catch((error: Error) => ({ failed: error.message }));
}

function write(file: string, bytes: Uint8Array): void {
  try {
    writeFileSync(file, bytes, { flag: "wx", mode: 0o600 });
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    if (code === "EEXIST") {
      throw new SmolVMError("FILE_EXISTS", `there is a file '${file}'`, {
        hint: "Name another one with -o, or remove it.",
        cause,
      });
    }
    throw new SmolVMError("HOST_FAILED", `the bundle '${file}' cannot be written: ${message}`, {
      hint: "Name a file that can be with -o.",
      cause,
    });
  }
}

/** 20261123T023345Z */
function stamp(time: Date): string {
  return time.toISOString().replace(/[-:]|\.\d+/g, "");
}

function readme(name: string, time: Date): string {
  return `Sandbox '${name}' of smolvm ${packageVersion()}, ${time.toISOString()}

record.json     what smolvm has written down about it
info.json       the same as smolvm info tells it
processes.json  its machine, the machine's monitor, its owner
files.json      its files, without their content
vmm.json        what the virtual machine monitor says of itself
agent.json      what the agent in the guest says of the guest
host.json       this machine
doctor.json     what smolvm doctor finds
console.log     the guest's console, the last MiB
vmm.log         the virtual machine monitor's messages
exit.json       how the machine ended

Values of its environment and of kernel arguments are replaced by (hidden), also where the guest printed them as they
are, if they have at least four characters. Anything else that the guest printed on its console is in console.log.
`;
}

export const debug: Command = { spec, run: debugCommand };
