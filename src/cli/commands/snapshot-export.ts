import { resolve } from "node:path";
import { SmolVM } from "../../smolvm.ts";
import { timeoutOption } from "../args/duration.ts";
import { COMMON_OPTIONS } from "../args/options.ts";
import { fileToWrite } from "../args/written-file.ts";
import type { Arguments } from "../arguments.ts";
import type { Command, CommandSpec, Outcome } from "../command.ts";
import type { Io } from "../io.ts";

const spec: CommandSpec = {
  name: "snapshot export",
  usage: "[OPTIONS] SNAPSHOT FILE",
  operands: { min: 2, max: 2, what: "the snapshot's name or the file", complete: "snapshots" },
  options: [{ name: "timeout", value: "TIME", help: "give up after that time" }, ...COMMON_OPTIONS],
  exit: "plain",
  notes: [
    "The file (tar, compressed with zstd) holds what the sandbox held, secrets too. The image is not in it: smolvm image export.",
  ],
  examples: ["smolvm snapshot export before-upgrade before-upgrade.tar.zst"],
};

async function snapshotExportCommand(io: Io, args: Arguments): Promise<Outcome> {
  const [name, to] = args.operands as [string, string];
  const file = fileToWrite(to);
  io.onProgress({ stage: "export", message: `writing ${name}` });
  await SmolVM.snapshots.export(name, resolve(file), {
    timeoutMs: timeoutOption(args),
    signal: io.interrupts.signal,
  });
  return { data: { name, file: resolve(file) }, text: () => `${file}\n` };
}

export const snapshotExport: Command = { spec, run: snapshotExportCommand };
