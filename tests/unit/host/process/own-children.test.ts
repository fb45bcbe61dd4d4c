import { spawn } from "node:child_process";
import { once } from "node:events";
import { expect, test } from "vitest";
import { noteChild, pauseOrEnd } from "../../../../src/host/process/own-children.ts";

test("a pause is over as soon as the child that it is for has ended", async () => {
  const child = spawn("cat", { stdio: ["pipe", "ignore", "ignore"] });
  const exit = once(child, "exit");
  noteChild(
    child.pid!,
    exit.then(() => {}),
  );
  let isOver = false;
  const pause = pauseOrEnd(child.pid!, 60_000).then(() => {
    isOver = true;
  });
  await pauseOrEnd(child.pid!, 20); // it is over by itself as well
  expect(isOver).toBe(false);
  child.stdin!.end();
  await pause;
  expect(child.exitCode).toBe(0);
});

test("of others, and of children that have ended, it lasts as long as it was asked for", async () => {
  const child = spawn("true");
  const exit = once(child, "exit");
  noteChild(
    child.pid!,
    exit.then(() => {}),
  );
  await exit;
  await new Promise((resolve) => setImmediate(resolve));
  for (const pid of [child.pid!, process.ppid]) {
    const started = performance.now();
    await pauseOrEnd(pid, 30);
    expect(performance.now() - started).toBeGreaterThan(28);
  }
});
