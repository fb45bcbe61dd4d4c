import { processPaths } from "../../host/files/paths.ts";
import { type BuiltQemu, listQemus } from "../../images/store/qemu-store.ts";
import { COMMON_OPTIONS } from "../args/options.ts";
import type { Command, CommandSpec, Outcome } from "../command.ts";
import type { Io } from "../io.ts";
import { renderTable } from "../render/table.ts";

const spec: CommandSpec = {
  name: "qemu ls",
  usage: "[OPTIONS]",
  operands: { min: 0, max: 0, what: "nothing" },
  options: COMMON_OPTIONS,
  exit: "plain",
  notes: [
    "Those that `smolvm qemu build` has made. Where none is in use, sandboxes run on the installed one. With --quiet only the names, one a line.",
  ],
  examples: ["smolvm qemu ls"],
};

async function qemuLsCommand(io: Io): Promise<Outcome> {
  const qemus = await listQemus(processPaths());
  if (qemus.length === 0) io.note("No QEMU of our own yet. Build it: smolvm qemu build");
  return {
    data: qemus.map(qemuData),
    text: () => (io.quiet ? qemus.map((qemu) => `${qemu.name}\n`).join("") : qemuTable(qemus)),
  };
}

/** What --json tells of a QEMU. Pure. */
export function qemuData({ manifest, ...qemu }: BuiltQemu): Record<string, unknown> {
  return { ...qemu, ...manifest };
}

function qemuTable(qemus: readonly BuiltQemu[]): string {
  return renderTable(
    [{ head: "NAME" }, { head: "GUESTS" }, { head: "VERSION" }, { head: "IN USE" }],
    qemus.map(({ name, arch, manifest, used }) => [name, arch, manifest.qemuVersion, used ? "yes" : "-"]),
  );
}

export const qemuLs: Command = { spec, run: qemuLsCommand };
