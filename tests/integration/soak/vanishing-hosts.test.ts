import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, expect, test } from "vitest";
import { BACKEND_FEATURES } from "../../../src/backends/features.ts";
import type { BackendName } from "../../../src/config/spec.ts";
import { BACKENDS } from "../../helpers/backends.ts";
import { cli, createBox, startCli } from "../../helpers/cli.ts";
import { useTempHome } from "../../helpers/home.ts";
import { seeded } from "../../helpers/random.ts";
import { scaled } from "../../helpers/speed.ts";
import { done } from "../../helpers/walk.ts";

// Hosts that flood a sandbox, do not read what it says, stop, and are killed at any moment, while it is saved, forked and paused: whoever comes
// next is served. For some seconds, with SMOLVM_TEST_LONG for minutes.
const SECONDS = process.env.SMOLVM_TEST_LONG === "1" ? 180 : 10;
/** A host that has to wait longer than this for one word has been forgotten: a session that finds its port held up waits for 3 s. */
const ANSWERED_MS = scaled(10_000);

const home = useTempHome();
const backend = BACKENDS[0] as BackendName;
const random = seeded(20_261_130);
const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)]!;

const big = join(home, "big");

const visits = (): readonly string[] =>
  pick([
    ["exec", "box", "--", "yes"],
    ["exec", "box", "--", "sh", "-c", "head -c 30000000 /dev/zero | tee /dev/stderr"],
    ["exec", "box", "--", "cat"],
    ["exec", "--timeout", "300ms", "box", "--", "yes"],
    ["cp", big, `box:/root/big${Math.floor(random() * 3)}`],
    ["cp", "box:/bin/sh", join(home, `got${Math.floor(random() * 3)}`)],
  ]);

/** One that comes, does something that never ends by itself, and vanishes. */
async function vanish(): Promise<void> {
  const { child } = startCli(visits(), { openStdin: true });
  const gone = new Promise((resolve) => child.once("exit", resolve));
  child.stdin!.on("error", () => {});
  const isSlow = random() < 0.5;
  if (isSlow) for (const output of [child.stdout!, child.stderr!]) output.removeAllListeners("data").pause();
  const input = random() < 0.5 ? setInterval(() => child.stdin!.write(Buffer.alloc(100_000)), 20) : undefined;
  await sleep(60 + random() * 900);
  const how = pick(["SIGKILL", "SIGTERM", "SIGINT", "SIGSTOP"] as const);
  child.kill(how);
  if (how === "SIGSTOP") await sleep(100 + random() * 600);
  else await Promise.race([gone, sleep(1000)]);
  clearInterval(input);
  child.kill("SIGKILL");
  child.stdin!.destroy();
  await gone;
}

/** Its state is what somebody else wants meanwhile. */
const copies: readonly (readonly (readonly string[])[])[] = [
  [
    ["fork", "--name", "copy", "box"],
    ["exec", "copy", "--", "true"],
    ["rm", "-f", "copy"],
  ],
  [
    ["snapshot", "create", "box", "saved"],
    ["snapshot", "restore", "--name", "copy", "saved"],
    ["exec", "copy", "--", "true"],
    ["rm", "-f", "copy"],
    ["snapshot", "rm", "saved"],
  ],
  ...(BACKEND_FEATURES[backend].pause
    ? [
        [
          ["pause", "box"],
          ["resume", "box"],
        ],
      ]
    : []),
];

afterAll(async () => {
  await cli(["rm", "-f", "box", "copy"]);
  rmSync(big);
});

test(
  "whoever comes is served, whatever hosts before have left behind",
  async () => {
    writeFileSync(big, Buffer.alloc(40_000_000, "x"));
    await cli(["rm", "-f", "box", "copy"]); // of the first attempt, if this is the second
    await createBox("box");
    const end = performance.now() + SECONDS * 1000;
    const until = async (turn: () => Promise<void>): Promise<void> => {
      while (performance.now() < end) await turn();
    };
    let served = 0;
    await Promise.all([
      until(vanish),
      until(vanish),
      until(vanish),
      until(async () => {
        const since = performance.now();
        const { code, stderr } = await cli(["exec", "box", "--", "true"]);
        if (/is paused/.test(stderr)) return;
        expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
        expect(performance.now() - since).toBeLessThan(ANSWERED_MS);
        served++;
      }),
      until(async () => {
        for (const step of pick(copies)) await done(step);
      }),
    ]);
    expect(served).toBeGreaterThan(0);
    await done(["exec", "box", "--", "true"]);
  },
  scaled(SECONDS * 1000 + 240_000),
);
