import { processPaths } from "../../host/files/paths.ts";
import { type BuiltKernel, listKernels } from "../../images/store/kernel-store.ts";
import { COMMON_OPTIONS } from "../args/options.ts";
import type { Command, CommandSpec, Outcome } from "../command.ts";
import type { Io } from "../io.ts";
import { renderTable } from "../render/table.ts";

const spec: CommandSpec = {
  name: "image kernel ls",
  usage: "[OPTIONS]",
  operands: { min: 0, max: 0, what: "nothing" },
  options: COMMON_OPTIONS,
  exit: "plain",
  notes: [
    "Where none is in use, sandboxes boot their image's own kernel. With --quiet only the names, one a line.",
  ],
  examples: ["smolvm image kernel ls"],
};

async function kernelLsCommand(io: Io): Promise<Outcome> {
  const kernels = await listKernels(processPaths());
  if (kernels.length === 0) io.note("No kernels yet. Build the fast one: smolvm image kernel build");
  return {
    data: kernels.map(kernelData),
    text: () => (io.quiet ? kernels.map((kernel) => `${kernel.name}\n`).join("") : kernelTable(kernels)),
  };
}

/** What --json tells of a kernel. Pure. */
export function kernelData({ manifest, ...kernel }: BuiltKernel): Record<string, unknown> {
  return { ...kernel, ...manifest };
}

function kernelTable(kernels: readonly BuiltKernel[]): string {
  return renderTable(
    [{ head: "NAME" }, { head: "ARCH" }, { head: "VERSION" }, { head: "IN USE" }],
    kernels.map(({ name, arch, manifest, used }) => [name, arch, manifest.kernelVersion, used ? "yes" : "-"]),
  );
}

export const kernelLs: Command = { spec, run: kernelLsCommand };
