import { SmolVM } from "../../smolvm.ts";
import type { MountInfo } from "../../vm/mounts/mounts.ts";
import { COMMON_OPTIONS, SHARE_OPTION } from "../args/options.ts";
import { parseVolume } from "../args/volume.ts";
import type { Arguments } from "../arguments.ts";
import type { Command, CommandSpec, Outcome } from "../command.ts";
import type { Io } from "../io.ts";
import { renderTable } from "../render/table.ts";

const spec: CommandSpec = {
  name: "mount",
  usage: "[OPTIONS] NAME [HOST:GUEST[:MODE]]",
  operands: { min: 1, max: 2, what: "the sandbox's name", complete: "sandboxes" },
  options: [
    {
      name: "coherence",
      value: "WHEN",
      choices: ["events", "strict"],
      help: "events (default): the guest keeps what it has read until something changes; strict: it asks each time",
    },
    SHARE_OPTION,
    ...COMMON_OPTIONS,
  ],
  exit: "plain",
  notes: [
    "Has a sandbox a directory or file of this machine, live: at once where it runs, and at each later start. MODE is ro (the default), rw (what the guest writes is this machine's at once) or overlay (what it writes stays in the sandbox). Without HOST:GUEST: shows what it has.",
  ],
  examples: ["smolvm mount box ./src:/work:rw", "smolvm mount box", "smolvm unmount box /work"],
};

async function mountCommand(io: Io, args: Arguments): Promise<Outcome> {
  const [name, text] = args.operands as [string, string | undefined];
  const vm = await SmolVM.get(name);
  const { signal } = io.interrupts;
  if (text === undefined) {
    const mounts = await vm.mounts.list({ signal });
    return { data: mounts, text: () => renderMounts(mounts) };
  }
  const coherence = args.value("coherence") as MountInfo["coherence"] | undefined;
  const wanted = {
    ...parseVolume(text, args.flag("yes-share-it")),
    ...(coherence === undefined ? {} : { coherence }),
  };
  const mount = await vm.mounts.add(wanted, { signal });
  if (!mount.mounted) io.note(`it is mounted when the sandbox starts: smolvm start ${vm.name}`);
  return { data: mount, text: () => "" };
}

function renderMounts(mounts: readonly MountInfo[]): string {
  if (mounts.length === 0) return "";
  return renderTable(
    ["GUEST", "HOST", "MODE", "STATE", "CHANGES"].map((head) => ({ head })),
    mounts.map(({ guest, host, mode, coherence, mounted, served }) => [
      guest,
      host,
      mode,
      mounted ? "mounted" : "not mounted",
      coherence === "strict"
        ? "asked each time"
        : served?.watched === false
          ? "within a second"
          : "told at once",
    ]),
  );
}

export const mount: Command = { spec, run: mountCommand };
