import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { SmolVM } from "../../src/index.ts";
import { BACKENDS, small } from "../helpers/backends.ts";
import { cli } from "../helpers/cli.ts";
import { leftovers, processesNaming, useTempHome } from "../helpers/home.ts";
import { traces } from "../helpers/traces.ts";
import { until } from "../helpers/wait.ts";

const home = useTempHome();

/** A page for each number, appended; and a file of 25 of them that is always replaced by a whole one. Says what is done. */
const WRITER = `
put() { dd if=$1 of=$2 bs=100k count=1 status=none $3; }
set -- ${Array(25).fill("/root/page").join(" ")}
i=0
while
  page=$(printf %08d $i)
  for twice in 1 2 3 4 5 6 7 8 9; do page=$page$page; done
  printf %s $page >/root/page
  cat "$@" >/root/pages
  put /root/page /rw/log "oflag=append conv=notrunc" && put /root/pages /rw/new && mv /rw/new /rw/whole
do echo $i; i=$((i + 1)); done`;

/** How many pages the log has: each of them whole, none out of its turn. What is replaced is of one piece. */
function pagesOf(dir: string): number {
  const log = readFileSync(join(dir, "log"));
  expect(log.length % 4096).toBe(0);
  for (let i = 0; i < log.length / 4096; i++)
    if (!log.subarray(i * 4096, (i + 1) * 4096).equals(pages(i, 1)))
      throw new Error(`page ${i} is not whole`);
  const whole = readFileSync(join(dir, "whole"));
  expect(whole.equals(pages(Number(whole.subarray(0, 8)), 25))).toBe(true);
  return log.length / 4096;
}

function pages(number: number, count: number): Buffer {
  return Buffer.from(
    String(number)
      .padStart(8, "0")
      .repeat(512 * count),
  );
}

/** The processes of the server of a sandbox's directories, whose command line names the home. */
function servers(): number[] {
  return processesNaming(home)
    .filter((line) => /files-[^ ]* serve /.test(line))
    .map((line) => Number(line.split(" ")[0]));
}

/** Some end with the first of them. */
function kill(pids: readonly number[], signal: NodeJS.Signals = "SIGKILL"): void {
  for (const pid of pids) {
    try {
      process.kill(pid, signal);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
    }
  }
}

function supervisors(): number[] {
  return processesNaming("supervisor/main.")
    .map((line) => Number(line.split(" ")[0]))
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/environ`, "utf8").includes(`XDG_DATA_HOME=${home}/`);
      } catch {
        return false; // it ended while we looked
      }
    });
}

describe.each(BACKENDS)("directories of the host on %s, in the middle of writes", (backend) => {
  let dir: string;
  beforeAll(() => {
    dir = realpathSync(mkdtempSync(join(tmpdir(), "smolvm-killed-")));
  });
  afterAll(() => rmSync(dir, { recursive: true, force: true }));
  const mount = () => ({ host: dir, guest: "/rw", mode: "rw" }) as const;

  /** Starts the writer; resolves when it has written some. Its end is what it said: how many, and which error. */
  async function writes(vm: SmolVM): Promise<{ said: () => number; ended: Promise<string> }> {
    for (const name of readdirSync(dir)) rmSync(join(dir, name));
    const writer = vm.spawn(WRITER);
    let output = "";
    const ended = (async () => {
      try {
        for await (const { data } of writer) output += Buffer.from(data).toString();
      } catch {
        // its sandbox has ended
      }
      return output.trimEnd().split("\n").at(-1)!;
    })();
    const said = (): number => (output.match(/^\d+$/gm) ?? []).length;
    await until("it writes", () => said() > 5);
    return { said, ended };
  }

  test("a server that is killed has lost nothing that it said was written, and a new mount works", async () => {
    await using vm = await SmolVM.create(small(backend, { mounts: [mount()] }));
    for (let round = 0; round < 3; round++) {
      const { said, ended } = await writes(vm);
      kill(servers());
      expect(await ended).toMatch(/connection abort|not connected/i); // ECONNABORTED, ENOTCONN
      expect(pagesOf(dir)).toBeGreaterThanOrEqual(said());
      expect(pagesOf(dir)).toBeLessThanOrEqual(said() + 1);
      await until("the server has ended", () => servers().length === 0);
      await vm.mounts.add(mount());
    }
    expect((await vm.run("wc -c </rw/whole")).stdout).toBe("102400\n");
  });

  test("a supervisor that is killed is missed by nobody", async () => {
    const vm = await SmolVM.create(
      small(backend, { mounts: [mount()], lifetime: "detached", ttlMs: 3_600_000 }),
    );
    await until("there is a supervisor", () => supervisors().length > 0);
    const { said, ended } = await writes(vm);
    kill(supervisors());
    const then = said();
    await until("it writes on", () => said() > then + 5);
    await vm.mounts.add({ host: dir, guest: "/ro" });
    expect((await vm.run("tail -c 8 /ro/log | wc -c")).stdout).toBe("8\n");
    await vm.mounts.remove("/ro");
    await vm.run(["pkill", "-f", "/root/pages"]);
    await ended;
    expect(pagesOf(dir)).toBeGreaterThanOrEqual(said());
    await vm.delete({ force: true });
    // The one that was killed has left its socket, if none came after it.
    await until("no supervisor is left", () => supervisors().length === 0);
    await SmolVM.gc();
  });

  test("with its owner the sandbox ends, and its server", async () => {
    const args = [
      join(import.meta.dirname, "../helpers/child-owner.ts"),
      backend,
      JSON.stringify({ mounts: [mount()] }),
    ];
    const owner = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
    const [line] = (await once(owner.stdout, "data")) as [Buffer];
    const { said } = await writes(await SmolVM.get(line.toString().split(" ")[0]!));
    expect(servers()).not.toEqual([]);
    owner.kill("SIGKILL");
    await until("the server ended with it", () => servers().length === 0);
    expect(pagesOf(dir)).toBeGreaterThanOrEqual(said());
    expect(await SmolVM.list()).toEqual([]);
    expect(leftovers(home)).toEqual({ processes: [], directories: [], sockets: [] });
    // And nobody has anything of the directory.
    rmSync(join(dir, "log"));
    expect(existsSync(join(dir, "log"))).toBe(false);
  });

  test("of one whose everything is killed gc leaves nothing that runs; started again, it has its mounts", async () => {
    const before = traces(home);
    const vm = await SmolVM.create(small(backend, { name: "all", mounts: [mount()], lifetime: "detached" }));
    const { id } = await vm.info();
    await writes(vm);
    // A server that stands still cannot notice that the machine has gone.
    kill(servers(), "SIGSTOP");
    const all = processesNaming(id).map((one) => Number(one.split(" ")[0]));
    kill(all.filter((pid) => !servers().includes(pid)));
    const { text } = await cli(["gc"]);
    expect(text).toContain("sandbox: all: running, is error");
    expect(processesNaming(id)).toEqual([]);
    await vm.start();
    expect((await vm.run("wc -c </rw/whole")).stdout).toBe("102400\n");
    await vm.delete({ force: true });
    expect(traces(home)).toEqual(before);
  });
});
