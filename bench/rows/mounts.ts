import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SmolVM } from "../../src/index.ts";
import { BLOCK, CREATED, FILES, fill, guestWork } from "../file-work.ts";
import { rawAgent } from "../machine.ts";
import type { Setting } from "../setting.ts";
import { checkOutput, interleave, type Measurement, type Samples, timed, toRow } from "../stats.ts";

/** Row 18: a directory of the host beside the guest's own disk, reading beside the raw channel, and how soon a watcher of the guest hears of a change. */
export async function mounts({ target, n = 5, mib }: Setting): Promise<Measurement[]> {
  const host = realpathSync(mkdtempSync(join(tmpdir(), "smolvm-bench-")));
  mkdirSync(join(host, "watched"));
  fill(host, mib);
  try {
    await using vm = await SmolVM.create({
      ...target,
      memSizeMib: 1024,
      mounts: [{ host, guest: "/mnt/host", mode: "rw" }],
    });
    await vm.run("cp -r /mnt/host/tree /root/tree; cp /mnt/host/blob /root/blob; sync");
    const inGuest = guestWork(
      async (argv) => (await vm.run([...argv], { check: true, timeoutMs: 600_000 })).stdout,
    );
    const stats = await interleave(n, {
      warm: () => inGuest("warm", "/mnt/host/tree", FILES),
      warmOwn: () => inGuest("warm", "/root/tree", FILES),
      cold: () => inGuest("cold", "/mnt/host/tree", FILES),
      coldOwn: () => inGuest("cold", "/root/tree", FILES),
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
              (await raw.run("cat > /dev/null && echo ok", { stdin: BLOCK, times: mib })).text,
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
