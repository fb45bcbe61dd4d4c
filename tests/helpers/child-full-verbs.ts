/**
 * Run as a process of its own, with its home (and the templates of its cache) on a small file system: does what saves and copies sandboxes with less and
 * less room, and prints what then happened, as JSON.
 */
import { closeSync, existsSync, ftruncateSync, openSync, readdirSync, statfsSync, writeSync } from "node:fs";
import { copyFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { small } from "./backends.ts";
import { SandboxPool, SmolVM } from "./smolvm.ts";

const [, , backend = "", part = "", data = "", templates = "", elsewhere = ""] = process.argv;
const LONG = (process.env.SMOLVM_TEST_LONG ?? "") !== "";
const MIB = 2 ** 20;
const filler = openSync(join(data, "filler"), "w");

/** Leaves so much room, in bytes, or all there is. */
function leave(room: number | undefined): void {
  ftruncateSync(filler, 0);
  if (room === undefined) return;
  const block = Buffer.alloc(65_536, 1);
  const free = (): number => {
    const { bavail, bsize } = statfsSync(data);
    return bavail * bsize;
  };
  for (let at = 0; free() > Math.max(room, 0); )
    at += writeSync(filler, block, 0, Math.min(block.length, free() - room), at);
}

/** Names of all that there is of sandboxes and snapshots, and of what is half made of templates. */
function there(): string[] {
  const root = join(data, "smolvm");
  return ["vms", "snapshots"]
    .flatMap((name) => entries(join(root, name)))
    .concat(entries(templates), entries(join(templates, "work")), entries(join(templates, "home", "vms")))
    .filter((name) => !/^(home|work|make\.log|.*\.lock|[0-9a-f]{32})$/.test(name))
    .sort();
}

function entries(directory: string): string[] {
  return existsSync(directory) ? readdirSync(directory) : [];
}

interface Outcome {
  readonly verb: string;
  /** in MiB */
  readonly room: number;
  readonly code: string;
  readonly message: string;
  readonly hint: string;
  /** what the source says */
  readonly source: string;
  readonly left: readonly string[];
}

const outcomes: Outcome[] = [];

const vm = await SmolVM.create(small(backend, { name: "source" }));
await vm.run(
  "echo kept > /root/kept; head -c 8000000 /dev/urandom > /dev/shm/much; head -c 24000000 /dev/urandom > /root/much; sync",
  { check: true },
);
const answer = async (): Promise<string> =>
  (await vm.run("cat /root/kept; wc -c < /dev/shm/much").catch((error: Error) => ({ stdout: error.message })))
    .stdout;

/** Does it with so much room, in MiB, then with enough. @returns what it gives in the end */
async function walk<T>(verb: string, rooms: readonly number[], act: () => Promise<T>): Promise<T> {
  const before = there();
  for (const room of rooms) {
    leave(Math.round(room * MIB));
    const how = await act().then(
      () => ({ code: "done", message: "", hint: "" }),
      (error: { code: string; message: string; hint: string }) => error,
    );
    const left = there().filter((name) => !before.includes(name));
    leave(undefined);
    outcomes.push({
      verb,
      room,
      code: how.code,
      message: how.message,
      hint: how.hint,
      source: await answer(),
      left,
    });
    if (how.code === "done") throw new Error(`${verb} with ${room} MiB is done`);
  }
  return await act();
}

/** What takes more than half of 32 MiB of memory and 24 of disk. */
const ROOMS = LONG ? [0, 0.1, 1, 4, 12, 24, 36, 44] : [0.1, 24];

/** What each makes in the end is removed below. */
const PARTS: Readonly<Record<string, () => Promise<void>>> = {
  snapshot: async () => {
    await walk("snapshot", ROOMS, () => vm.snapshot("it"));
    await walk("snapshot of the disk", [0.1, 12], () => vm.snapshot("disk", { kind: "disk" }));
    await walk("restore", [0.1, 17, 20], () => SmolVM.restore("it"));
    await walk("restore of a disk", [0.1, 17, 20], () => SmolVM.restore("disk"));
  },
  difference: async () => {
    await vm.snapshot("it");
    const restored = await SmolVM.restore("it", { name: "restored" });
    await restored.run("echo more > /root/more; sync");
    await walk("snapshot", ROOMS, () => restored.snapshot("second"));
    await walk("restore", [...ROOMS, 60], () => SmolVM.restore("second"));
    await walk("export", [0.1, 24, 60], () =>
      SmolVM.snapshots.export("second", join(data, "second.tar.zst")),
    );
    await SmolVM.snapshots.delete("second");
  },
  fork: async () => {
    await walk("fork", [...ROOMS, 80], () => vm.fork({ count: 2, name: "child" }));
  },
  file: async () => {
    await vm.snapshot("it");
    const file = join(data, "it.tar.zst");
    await walk("export", [0, 1, 20], () => SmolVM.snapshots.export("it", file));
    await copyFile(file, join(elsewhere, "it.tar.zst"));
    await rm(file);
    const from = join(elsewhere, "it.tar.zst");
    await walk("import", ROOMS, () => SmolVM.snapshots.import(from, { name: "imported", trust: true }));
    await walk("import of a disk", [0.1, 12], () => SmolVM.snapshots.import(from, { name: "disk" }));
  },
  template: async () => {
    await walk("template", [0, ...ROOMS.filter(Boolean)], () =>
      SmolVM.warm(small(backend, { diskSizeMib: 512 })),
    );
  },
  pool: async () => {
    const pool = new SandboxPool({ ...small(backend), size: 1 });
    await pool.filled();
    const before = there();
    leave(8 * MIB);
    const taken = await pool.take();
    const code = await pool.filled().then(
      () => "done",
      (error: { code: string }) => error.code,
    );
    const left = there().filter((name) => !before.includes(name));
    const { stdout } = await taken.run("echo taken");
    outcomes.push({
      verb: "refill",
      room: 8,
      code,
      message: stdout,
      hint: "df -h",
      source: await answer(),
      left,
    });
    leave(undefined);
    while (pool.ready === 0) await new Promise((resolve) => setTimeout(resolve, 20)); // it goes on by itself
    await pool.drain();
  },
};
await PARTS[part]!();

for (const { name } of (await SmolVM.snapshots.list()).reverse()) await SmolVM.snapshots.delete(name);
for (const { name } of await SmolVM.list())
  if (name !== "source") await (await SmolVM.get(name)).delete({ force: true });
closeSync(filler);
const end = await answer();
await vm.delete({ force: true });
process.stdout.write(JSON.stringify({ outcomes, end, left: there(), list: await SmolVM.list() }));
