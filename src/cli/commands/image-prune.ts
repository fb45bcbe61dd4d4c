import { SmolVMError } from "../../errors.ts";
import { ensurePaths, processPaths } from "../../host/files/paths.ts";
import {
  findUnused,
  type PruneLimits,
  prunable,
  removeUnused,
  type UnusedFile,
} from "../../images/store/prune.ts";
import { imagesInUse } from "../../users-of-images.ts";
import { Deadline } from "../../util/deadline.ts";
import { openHome } from "../../vm/home.ts";
import { pruneTemplates, type UnusedTemplate, unusedTemplates } from "../../vm/templates/prune.ts";
import { parseDurationMs } from "../args/duration.ts";
import { COMMON_OPTIONS } from "../args/options.ts";
import { parseSizeMib } from "../args/size.ts";
import type { Arguments } from "../arguments.ts";
import type { Command, CommandSpec, Outcome } from "../command.ts";
import type { Io } from "../io.ts";
import { renderTable } from "../render/table.ts";
import { formatBytes } from "../render/units.ts";

const spec: CommandSpec = {
  name: "image prune",
  usage: "[OPTIONS]",
  operands: { min: 0, max: 0, what: "nothing" },
  options: [
    { name: "force", short: "f", help: "without asking" },
    { name: "dry-run", help: "only print what would be removed" },
    {
      name: "until",
      value: "TIME",
      help: "only what was made, or last used by a pull or build, that long ago: 24h",
    },
    { name: "keep-storage", value: "SIZE", help: "of what is not used keep so much, the newest: 10G" },
    ...COMMON_OPTIONS,
  ],
  exit: "plain",
  notes: [
    "Removes from smolvm's cache what no sandbox uses: images (also with a name), kernels but the one that new sandboxes boot, initramfs archives, kernel source packages, downloads of registries, layers and cache mounts of builds, and templates that no running sandbox has started from. Asks first.",
    "What is missing afterwards is built, or taken from an installed guest bundle, again.",
  ],
  examples: ["smolvm image prune --dry-run", "smolvm image prune -f --until 24h --keep-storage 10G"],
};

async function imagePruneCommand(io: Io, args: Arguments): Promise<Outcome> {
  const paths = processPaths();
  ensurePaths(paths);
  const dryRun = args.flag("dry-run");
  const home = openHome();
  const limits = pruneLimits(args);
  const all = [...(await findUnused(paths, await imagesInUse())), ...unusedTemplates(home)];
  const unused = inOrder(all, prunable(all, limits, Date.now()));
  const chosen = new Set(unused.map(({ path }) => path));
  if (!dryRun && unused.length > 0 && !args.flag("force") && !(await agreed(io, unused))) {
    throw new SmolVMError("ABORTED", "nothing was removed");
  }
  const files =
    dryRun || unused.length === 0
      ? unused
      : [
          ...(await removeUnused(paths, imagesInUse, {
            which: (files) => files.filter(({ path }) => chosen.has(path)),
            deadline: Deadline.of("removing what is not used", { signal: io.interrupts.signal }),
            onWait: (pid) =>
              io.onProgress({ stage: "wait", message: `another process builds an image (pid ${pid})` }),
          })),
          ...pruneTemplates(home, chosen),
        ];
  const total = formatBytes(sizeOf(files));
  if (files.length === 0)
    io.note(
      all.length === 0
        ? "Nothing to remove: sandboxes use all that is there."
        : `Nothing to remove: what is not used (${formatBytes(sizeOf(all))}) is newer, or no more than what is to be kept.`,
    );
  else io.note(dryRun ? `Would be removed, ${total}:` : `Removed, ${total}:`);
  return {
    data: files.map((file) => ({ ...file, removed: !dryRun })),
    text: () => (files.length === 0 ? "" : unusedTable(files)),
  };
}

/** --until and --keep-storage. @throws SmolVMError USAGE */
function pruneLimits(args: Arguments): PruneLimits {
  const [until, keep] = [args.value("until"), args.value("keep-storage")];
  return {
    olderThanMs:
      until === undefined ? undefined : parseDurationMs("--until", until, Number.POSITIVE_INFINITY),
    keepBytes: keep === undefined ? undefined : parseSizeMib("--keep-storage", keep) * 2 ** 20,
  };
}

/** Those of `all` that are among `some`, in their order. */
function inOrder<T>(all: readonly T[], some: readonly T[]): T[] {
  const chosen = new Set(some);
  return all.filter((one) => chosen.has(one));
}

function sizeOf(files: readonly Unused[]): number {
  return files.reduce((sum, file) => sum + file.sizeBytes, 0);
}

type Unused = UnusedFile | UnusedTemplate;

/** The table of what is not used. Pure. */
export function unusedTable(files: readonly Unused[]): string {
  return renderTable(
    [{ head: "KIND" }, { head: "SIZE", align: "right" }, { head: "NAME" }],
    files.map((file) => [file.kind, formatBytes(file.sizeBytes), file.name]),
  );
}

/** Asks a person; where nobody can be asked, `-f` is needed. */
async function agreed(io: Io, unused: readonly Unused[]): Promise<boolean> {
  const { canAsk, confirm } = await import("../terminal/confirm.ts");
  if (io.json || !canAsk()) {
    throw new SmolVMError("USAGE", "image prune needs -f here, because nobody can be asked", {
      hint: "See what would go, then do it: smolvm image prune --dry-run; smolvm image prune -f",
    });
  }
  for (const line of unusedTable(unused).trimEnd().split("\n")) io.note(line);
  const total = formatBytes(sizeOf(unused));
  return await confirm(`Remove these ${total} from the cache?`, io.interrupts.signal);
}

export const imagePrune: Command = { spec, run: imagePruneCommand };
