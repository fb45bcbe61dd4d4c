import { existsSync } from "node:fs";
import { SmolVMError } from "../../errors.ts";
import { ensurePaths, processPaths } from "../../host/files/paths.ts";
import { importBundle } from "../../images/bundle/import.ts";
import { findPackage } from "../../images/bundle/package.ts";
import { checkImageName } from "../../images/store/reference.ts";
import { Deadline } from "../../util/deadline.ts";
import { timeoutOption } from "../args/duration.ts";
import { COMMON_OPTIONS } from "../args/options.ts";
import type { Arguments } from "../arguments.ts";
import type { Command, CommandSpec, Outcome } from "../command.ts";
import type { Io } from "../io.ts";
import { formatBytes } from "../render/units.ts";
import { imageData } from "./image-ls.ts";

const spec: CommandSpec = {
  name: "image import",
  usage: "[OPTIONS] FILE | PACKAGE",
  operands: { min: 1, max: 1, what: "the file or package" },
  options: [
    { name: "name", value: "NAME", help: "what the image is to be called (default: as in the bundle)" },
    { name: "timeout", value: "TIME", help: "give up after that time" },
    ...COMMON_OPTIONS,
  ],
  exit: "plain",
  notes: [
    "Takes a guest bundle in: a file that `smolvm image export` wrote, a directory with an unpacked one, or the name of an npm package that is installed here (smolvm-guest-x64, smolvm-guest-arm64). Every file is checked before it gets its place.",
    "Its fast kernel boots new sandboxes, unless `smolvm image kernel use` chose another one.",
  ],
  examples: ["smolvm image import debian.tgz", "smolvm image import smolvm-guest-arm64"],
};

async function imageImportCommand(io: Io, args: Arguments): Promise<Outcome> {
  const name = args.value("name");
  if (name !== undefined) checkImageName(name);
  const path = findBundle(args.operands[0]!);
  const paths = processPaths();
  ensurePaths(paths);
  const { image, kernel, imported } = await importBundle(paths, {
    path,
    name,
    deadline: Deadline.of(`importing '${args.operands[0]}'`, {
      timeoutMs: timeoutOption(args),
      signal: io.interrupts.signal,
      option: "--timeout",
    }),
    onProgress: io.onProgress,
  });
  const what = `${image.name} (${image.arch}, ${formatBytes(image.sizeBytes)}, ${image.digest.slice(0, 12)})`;
  io.note(imported ? `imported ${what}` : `${what} is there already`);
  if (kernel !== undefined)
    io.note(`its fast kernel ${kernel.name} ${kernel.used ? "boots new sandboxes" : "is there, not in use"}`);
  return {
    data: { ...imageData(image), fastKernel: kernel?.name ?? null, imported },
    text: () => `${image.name}\n`,
  };
}

/** What the user named: something that exists here, else a package of this directory, or of those above it. */
function findBundle(operand: string): string {
  if (existsSync(operand)) return operand;
  const looksLikePath = /[\\/]|\.t(ar\.)?gz$/.test(operand);
  const installed = looksLikePath ? undefined : findPackage(operand, process.cwd());
  if (installed !== undefined) return installed;
  throw new SmolVMError(
    "FILE_NOT_FOUND",
    looksLikePath
      ? `there is no file '${operand}'`
      : `there is neither a file nor an npm package '${operand}' here`,
    { hint: looksLikePath ? undefined : `Install the package first: npm install ${operand}` },
  );
}

export const imageImport: Command = { spec, run: imageImportCommand };
