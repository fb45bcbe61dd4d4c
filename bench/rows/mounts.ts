import { appendFileSync, mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SmolVM } from "../../src/index.ts";
import { rawAgent } from "../machine.ts";
import type { Setting } from "../setting.ts";
import { checkOutput, interleave, type Measurement, type Samples, timed, toRow } from "../stats.ts";

/** As a working tree has them: directories of a hundred files. */
const DIRECTORIES = 100;
const FILES = 100;
/** As an installation makes them. */
const CREATED = 5000;

/** What is done in a directory, told in ms as the guest's clock counts them. */
const WORK = `
import os, sys, time
kind, dir = sys.argv[1], sys.argv[2]
if kind in ("cold", "make"): os.sync(); open("/proc/sys/vm/drop_caches", "w").write("3")
def stat_all():
    n = 0
    for entry in os.scandir(dir):
        for file in os.scandir(entry.path):
            os.lstat(file.path); n += 1
    return n
if kind == "warm": stat_all()
before = time.perf_counter()
if kind in ("cold", "warm"): done = stat_all()
elif kind == "make":
    os.mkdir(dir)
    for n in range(${CREATED}):
        if n % 50 == 0: os.mkdir(f"{dir}/{n // 50}")
        with open(f"{dir}/{n // 50}/{n}", "w") as f: f.write("x" * 500)
    done = ${CREATED}
elif kind == "remove":
    import shutil; shutil.rmtree(dir); done = ${CREATED}
elif kind == "read":
    open("/proc/sys/vm/drop_caches", "w").write("3"); before = time.perf_counter(); done = 0
    with open(dir, "rb", buffering=0) as f:
        while chunk := f.read(1 << 20): done += len(chunk)
print(done, (time.perf_counter() - before) * 1000)
`;

/** Row 18: a directory of the host beside the guest's own disk, reading beside the raw channel, and how soon a watcher of the guest hears of a change. */
export async function mounts({ target, n = 5, mib }: Setting): Promise<Measurement[]> {
  const host = realpathSync(mkdtempSync(join(tmpdir(), "smolvm-bench-")));
  const blob = join(host, "blob");
  const block = Buffer.alloc(2 ** 20, "0123456789abcdef");
  for (let i = 0; i < mib; i++) appendFileSync(blob, block);
  mkdirSync(join(host, "watched"));
  fill(join(host, "tree"));
  try {
    await using vm = await SmolVM.create({
      ...target,
      memSizeMib: 1024,
      mounts: [{ host, guest: "/mnt/host", mode: "rw" }],
    });
    await vm.run("cp -r /mnt/host/tree /root/tree; cp /mnt/host/blob /root/blob; sync");
    const inGuest = async (kind: string, dir: string, expected: number): Promise<number> => {
      const { stdout } = await vm.run(["python3", "-c", WORK, kind, dir], {
        check: true,
        timeoutMs: 600_000,
      });
      const [done, ms] = stdout.trim().split(" ");
      checkOutput(done!, String(expected));
      return Number(ms);
    };
    const tree = DIRECTORIES * FILES;
    const stats = await interleave(n, {
      warm: () => inGuest("warm", "/mnt/host/tree", tree),
      warmOwn: () => inGuest("warm", "/root/tree", tree),
      cold: () => inGuest("cold", "/mnt/host/tree", tree),
      coldOwn: () => inGuest("cold", "/root/tree", tree),
    });
    const madeIn = (dir: string) => async (): Promise<readonly [number, number]> => [
      await inGuest("make", dir, CREATED),
      await inGuest("remove", dir, CREATED),
    ];
    const pairs = await interleave(Math.min(n, 3), {
      ours: madeIn("/mnt/host/made"),
      floor: madeIn("/root/made"),
    });
    const part = (index: 0 | 1): Samples => ({
      ours: pairs.ours.map((pair) => pair[index]),
      floor: pairs.floor.map((pair) => pair[index]),
    });
    const size = mib * 2 ** 20;
    const raw = await rawAgent(vm, 4);
    const rate = (ms: number): number => (mib * 1000) / ms;
    const read = await interleave(Math.min(n, 3), {
      ours: async () => rate(await inGuest("read", "/mnt/host/blob", size)),
      floor: async () =>
        rate(
          await timed(async () =>
            checkOutput(
              (await raw.run("cat > /dev/null && echo ok", { stdin: block, times: mib })).text,
              "ok\n",
            ),
          ),
        ),
    });
    raw.close();
    const events = await latencies(vm, host, n * 4);
    return [
      row("warm stat of 10,000 files, own disk", { ours: stats.warm, floor: stats.warmOwn }, 1.3),
      row("cold stat of 10,000 files, own disk", { ours: stats.cold, floor: stats.coldOwn }),
      row("5,000 small files made, own disk", part(0)),
      row("5,000 small files removed, own disk", part(1)),
      {
        samples: read,
        row: toRow(
          { row: "18", name: `reading ${mib} MiB, raw channel`, unit: "MiB/s", goal: ">= 0.8 x floor" },
          read,
          ({ ratio }) => ratio >= 0.8,
        ),
      },
      {
        samples: events,
        row: toRow(
          {
            row: "18",
            name: "a save on the host until a guest's watcher is told, a bare event",
            unit: "ms",
            goal: "p95 <= 100 ms",
          },
          events,
          ({ p95 }) => p95 <= 100,
        ),
      },
    ];
  } finally {
    rmSync(host, { recursive: true, force: true });
  }
}

function row(name: string, samples: Samples, most?: number): Measurement {
  const goal = most === undefined ? "(told)" : `<= ${most} x floor`;
  return {
    samples,
    row: toRow(
      { row: "18", name, unit: "ms", goal },
      samples,
      ({ ratio }) => most === undefined || ratio <= most,
    ),
  };
}

function fill(tree: string): void {
  mkdirSync(tree);
  for (let d = 0; d < DIRECTORIES; d++) {
    mkdirSync(join(tree, String(d)));
    for (let f = 0; f < FILES; f++) writeFileSync(join(tree, String(d), String(f)), "content\n");
  }
}

/** From a write on the host to the event in this process; the floor is one in the guest, told in the same way. */
async function latencies(vm: SmolVM, host: string, n: number): Promise<Samples> {
  await vm.run("mkdir -p /root/watched");
  const once = async (dir: string, change: (name: string) => unknown, name: string): Promise<number> => {
    const watch = await vm.files.watch(dir);
    try {
      return await timed(async () => {
        await change(name);
        for await (const event of watch) if (event.path === name) break;
      });
    } finally {
      watch.close();
    }
  };
  let count = 0;
  return await interleave(n, {
    ours: () =>
      once("/mnt/host/watched", (name) => writeFileSync(join(host, "watched", name), "x"), `h${count++}`),
    floor: () => once("/root/watched", (name) => vm.files.write(`/root/watched/${name}`, "x"), `g${count++}`),
  });
}
