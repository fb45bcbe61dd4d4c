import { mkdtempSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SmolVM } from "../../src/index.ts";
import { CREATED, commit, FILES, fill, type GuestWork, guestWork } from "../file-work.ts";
import { fullKernel } from "../floor/full-kernel.ts";
import { CACHES, NinePMachine } from "../floor/ninep.ts";
import type { Setting } from "../setting.ts";
import { interleave, type Measurement, type Samples, toRow } from "../stats.ts";

/** What is done; `reading` is told as MiB/s. */
const KINDS = ["warm", "cold", "git", "make", "remove", "read"] as const;
type Kind = (typeof KINDS)[number];
const NAMES: Readonly<Record<Kind, string>> = {
  warm: "warm stat of 10,000 files",
  cold: "cold stat of 10,000 files",
  git: "git status of 10,000 files, cold",
  make: "5,000 small files made",
  remove: "5,000 small files removed",
  read: "reading",
};
/** How much of 9p's time ours may take. */
const GOALS: Readonly<Partial<Record<Kind, number>>> = { cold: 0.5, git: 0.5, make: 0.5 };

/** Row 18b: a directory of the host beside QEMU's 9p: a directory with the same files, the same kernel (Debian's full one), machine (q35) and agent. */
export async function mountsBeside9p({ target, n = 3, mib }: Setting): Promise<Measurement[]> {
  const work = realpathSync(mkdtempSync(join(tmpdir(), "smolvm-bench-")));
  // Each has its own: what one changes is news for the other.
  const [host, hostOf9p] = [join(work, "ours"), join(work, "9p")];
  for (const directory of [host, hostOf9p]) {
    fill(directory, mib);
    commit(join(directory, "tree"));
  }
  try {
    const parts = await fullKernel(work);
    const { kernel: _, ...rest } = target;
    const options = { ...rest, ...parts, qemuMachine: "q35", memSizeMib: 1024 } as const;
    await using ninep = await NinePMachine.boot(options, hostOf9p);
    await using vm = await SmolVM.create({ ...options, mounts: [{ host, guest: "/mnt/ours", mode: "rw" }] });
    const oursDoes = guestWork(
      async (argv) => (await vm.run([...argv], { check: true, timeoutMs: 600_000 })).stdout,
    );
    const ninepDoes = guestWork((argv) => ninep.run(argv));
    const samples = await interleave(n, {
      ours: () => all(oursDoes, "/mnt/ours", mib),
      none: () => all(ninepDoes, "/mnt/none", mib),
      loose: () => all(ninepDoes, "/mnt/loose", mib),
    });
    return CACHES.flatMap((cache) =>
      KINDS.map((kind) =>
        row(kind, cache, mib, {
          ours: samples.ours.map((sample) => sample[kind]),
          floor: samples[cache].map((sample) => sample[kind]),
        }),
      ),
    );
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

async function all(does: GuestWork, mount: string, mib: number): Promise<Record<Kind, number>> {
  const cold = await does("cold", `${mount}/tree`, FILES);
  const warm = await does("warm", `${mount}/tree`, FILES);
  const git = await does("git", `${mount}/tree`, 0);
  const make = await does("make", `${mount}/made`, CREATED);
  const remove = await does("remove", `${mount}/made`, CREATED);
  const read = (mib * 1000) / (await does("read", `${mount}/blob`, mib * 2 ** 20));
  return { warm, cold, git, make, remove, read };
}

function row(kind: Kind, cache: string, mib: number, samples: Samples): Measurement {
  const rate = kind === "read";
  const most = cache === "none" ? GOALS[kind] : undefined;
  const name = `${NAMES[kind]}${rate ? ` ${mib} MiB` : ""}, QEMU's 9p with cache=${cache}`;
  const goal = most === undefined ? "(told)" : `<= ${most} x floor`;
  return {
    samples,
    row: toRow(
      { row: "18b", name, unit: rate ? "MiB/s" : "ms", goal },
      samples,
      ({ ratio }) => most === undefined || ratio <= most,
    ),
  };
}
