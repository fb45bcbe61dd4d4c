import { ensurePaths, processPaths } from "../../host/files/paths.ts";
import { packageVersion } from "../../host/package.ts";
import { agentFile } from "../../images/boot/agent.ts";
import { exportBundle } from "../../images/bundle/export.ts";
import { Deadline } from "../../util/deadline.ts";
import { timeoutOption } from "../args/duration.ts";
import { ARCH_OPTION, parseArch } from "../args/image.ts";
import { COMMON_OPTIONS } from "../args/options.ts";
import { fileToWrite } from "../args/written-file.ts";
import type { Arguments } from "../arguments.ts";
import type { Command, CommandSpec, Outcome } from "../command.ts";
import type { Io } from "../io.ts";
import { formatBytes } from "../render/units.ts";

const spec: CommandSpec = {
  name: "image export",
  usage: "[OPTIONS] NAME FILE",
  operands: { min: 2, max: 2, what: "the image's name or the file", complete: "images" },
  options: [
    ARCH_OPTION,
    { name: "force", short: "f", help: "overwrite the file" },
    { name: "timeout", value: "TIME", help: "give up after that time" },
    ...COMMON_OPTIONS,
  ],
  exit: "plain",
  notes: [
    "Writes a guest bundle: the image, the fast kernel if one is built, and the agent. It is taken in by `smolvm image import FILE` on any machine, or by `npm install FILE` beside smolvm.",
  ],
  examples: ["smolvm image export debian debian.tgz"],
};

async function imageExportCommand(io: Io, args: Arguments): Promise<Outcome> {
  const [name = "", target = ""] = args.operands;
  const arch = parseArch(args.value("arch"));
  const paths = processPaths();
  ensurePaths(paths);
  const { path, sizeBytes, manifest } = await exportBundle(paths, {
    name,
    arch,
    target: fileToWrite(target),
    force: args.flag("force"),
    agentPath: agentFile(paths, arch),
    version: packageVersion(),
    deadline: Deadline.of(`exporting the image '${name}'`, {
      timeoutMs: timeoutOption(args),
      signal: io.interrupts.signal,
      option: "--timeout",
    }),
    onProgress: io.onProgress,
  });
  const { digest, kernel } = manifest;
  io.note(
    `wrote ${name} for ${arch}, ${kernel ? `the fast kernel ${kernel}` : "no fast kernel (none is built)"} and the agent, ${formatBytes(sizeBytes)}`,
  );
  return { data: { name, arch, digest, kernel: kernel ?? null, path, sizeBytes }, text: () => `${path}\n` };
}

export const imageExport: Command = { spec, run: imageExportCommand };
