import { readdirSync, readFileSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { cli, createBox, startCli } from "../../helpers/cli.ts";
import { processesNaming, useTempHome } from "../../helpers/home.ts";
import { scaled } from "../../helpers/speed.ts";
import { until } from "../../helpers/wait.ts";

const home = useTempHome();
afterEach(async () => {
  await cli(["rm", "--all", "-f"]);
});

/** As docs/cli.md and docs/security.md promise. */
const CONSOLE_BYTES = 1024 * 1024;
const SAMPLE_BYTES = 1.75 * CONSOLE_BYTES;
/** A minute with SMOLVM_TEST_LONG=1; else as long as it takes to fill the bound, and three quarters more. */
const LONG_MS = process.env.SMOLVM_TEST_LONG === "1" ? 60_000 : 0;

/** Numbered lines on the guest's console for ever, by a process that smolvm does not wait for. */
const FLOOD =
  'i=0; while :; do i=$((i+1)); echo "flood $i of the console of a guest that never stops to talk"; done > /dev/console';

async function startFlood(): Promise<string> {
  await createBox("box");
  const run = await cli(["exec", "box", "--", "sh", "-c", `setsid sh -c '${FLOOD}' > /dev/null 2>&1 &`]);
  expect(run).toMatchObject({ code: 0, stderr: "" });
  const [id] = readdirSync(join(home, "data/smolvm/vms"));
  return join(home, "data/smolvm/vms", id!);
}

/** What the guest's console takes of the host's disk. */
function consoleBytes(dir: string): number {
  return readdirSync(dir)
    .filter((name) => name !== "upper.img")
    .map((name) => statSync(join(dir, name), { throwIfNoEntry: false })?.size ?? 0)
    .reduce((sum, size) => sum + size, 0);
}

/** How much the guest has written by now. */
function written(dir: string): number {
  try {
    const [offset] = readFileSync(join(dir, "console.log.at"), "latin1").split(" ");
    return Number(offset) + statSync(join(dir, "console.log")).size;
  } catch {
    return 0; // not rotated yet, or just now
  }
}

/** Waits while the guest floods, and returns the most that its console took. */
async function watchFlood(dir: string): Promise<number> {
  const end = performance.now() + LONG_MS;
  let most = 0;
  await until(
    "the flood has gone on for long enough",
    () => {
      most = Math.max(most, consoleBytes(dir));
      return written(dir) > SAMPLE_BYTES && performance.now() > end;
    },
    scaled(LONG_MS + 90_000),
  );
  return most;
}

test("a guest that floods its console while no smolvm process lives takes no more disk than its console may", async () => {
  const dir = await startFlood();
  const most = await watchFlood(dir);
  // The machine, its monitor and what encloses it, which are no smolvm processes of the user's: nobody else looks after it.
  const programs = processesNaming(home).map((line) => basename(line.split(" ")[1]!));
  expect(programs.filter((program) => program.startsWith("qemu-"))).toHaveLength(1);
  expect(programs.filter((program) => !/^(monitor-|bwrap$|qemu-)/.test(program))).toEqual([]);
  expect(most).toBeGreaterThan(CONSOLE_BYTES / 2);
  expect(most).toBeLessThanOrEqual(CONSOLE_BYTES + 4096);
  const { text } = await cli(["logs", "--tail", "2", "box"]);
  expect(text).toContain("of the console of a guest that never stops to talk");
  expect((await cli(["exec", "box", "--", "echo", "usable"])).text).toBe("usable\n");
});

test("a reader that is slower than a flood keeps nothing back, and sees where it missed something", async () => {
  const dir = await startFlood();
  const reader = startCli(["logs", "-f", "box"]);
  const { stdout } = reader.child;
  await reader.printed("flood 1 ");
  stdout!.pause();
  const most = await watchFlood(dir);
  expect(most).toBeLessThanOrEqual(CONSOLE_BYTES + 4096);
  const memoryKib = Number(
    /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${reader.child.pid}/status`, "utf8"))![1],
  );
  expect(memoryKib).toBeLessThan(200 * 1024);
  stdout!.resume();
  const last = /flood (\d+) /.exec((await cli(["logs", "--tail", "2", "box"])).text)![1]!;
  await reader.printed(`flood ${last} `);
  reader.child.kill("SIGINT");
  await reader.ended;

  // Every line is there, or a note says that bytes are missing at just that place.
  const lines = reader.stdout
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "");
  const missed = lines.filter((line) => line.startsWith("[smolvm: "));
  let next = 0;
  let noted = false;
  for (const line of lines) {
    const number = Number(/^flood (\d+) of the console of a guest that never stops to talk$/.exec(line)?.[1]);
    if (line.startsWith("[smolvm: ")) noted = true;
    if (!Number.isInteger(number)) continue;
    if (next !== 0 && !noted) expect(number).toBe(next);
    next = number + 1;
    noted = false;
  }
  expect(missed.length).toBeGreaterThan(0);
  expect(missed[0]).toMatch(
    /^\[smolvm: \d+ bytes of the console came faster than they were read, and are gone\]$/,
  );
});
