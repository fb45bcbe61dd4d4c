import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { identify } from "../../../../src/host/process/process-identity.ts";
import { acquireLock } from "../../../../src/images/store/build-lock.ts";
import { Deadline } from "../../../../src/util/deadline.ts";
import { scaled } from "../../../helpers/speed.ts";

const CHILD = join(import.meta.dirname, "../../../helpers/image-child.ts");
const dir = mkdtempSync(join(tmpdir(), "smt-lock-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

let count = 0;
const fresh = (): string => join(dir, `${count++}`, "build.lock");
const within = (ms: number): Deadline => Deadline.of("locking", { timeoutMs: ms });

/** A process that holds the lock until its stdin ends or it is killed. */
async function holder(path: string): Promise<ChildProcess> {
  const child = spawn(process.execPath, [CHILD, "lock", path], { stdio: ["pipe", "pipe", "inherit"] });
  await once(child.stdout!, "data");
  return child;
}

describe("the build lock", () => {
  test("keeps others out until it is let go of, and leaves nothing behind", async () => {
    const path = fresh();
    const child = await holder(path);
    let waitedFor: number | undefined;
    const mine = acquireLock(path, within(scaled(30_000)), ({ pid }) => {
      waitedFor = pid;
      child.stdin!.end();
    });
    const release = await mine;
    expect(waitedFor).toBe(child.pid);
    await release();
    expect(readdirSync(join(path, ".."))).toEqual([]);
  });

  test("is taken over from a process that was killed", async () => {
    const path = fresh();
    const child = await holder(path);
    child.kill("SIGKILL");
    await once(child, "exit");
    expect(existsSync(path)).toBe(true);
    const release = await acquireLock(path, within(scaled(30_000)), () =>
      expect.unreachable("nobody holds it"),
    );
    await release();
  });

  test("is taken over from another process of the same number, from before a reboot, and from a damaged file", async () => {
    const me = identify(process.pid);
    const stale = [{ ...me, startTime: "1" }, { ...me, bootId: "another boot" }, {}, "not an object"];
    for (const holderOf of stale) {
      const path = fresh();
      mkdirSync(join(path, ".."), { recursive: true });
      writeFileSync(path, JSON.stringify(holderOf));
      await (await acquireLock(path, within(scaled(30_000))))();
    }
    const path = fresh();
    mkdirSync(join(path, ".."), { recursive: true });
    writeFileSync(path, "{");
    await (await acquireLock(path, within(scaled(30_000))))();
  });

  test("is taken over although an earlier takeover was cut off", async () => {
    const path = fresh();
    mkdirSync(`${path}.takeover`, { recursive: true });
    utimesSync(`${path}.takeover`, new Date(0), new Date(0));
    writeFileSync(path, "{}");
    await (await acquireLock(path, within(scaled(30_000))))();
  });

  test("is held by one at a time, however many want it, though the first holder is dead", async () => {
    const path = fresh();
    mkdirSync(join(path, ".."), { recursive: true });
    writeFileSync(path, "{}");
    let holders = 0;
    let most = 0;
    await Promise.all(
      Array.from({ length: 10 }, async () => {
        const release = await acquireLock(path, within(scaled(60_000)));
        most = Math.max(most, ++holders);
        await new Promise((resolve) => setImmediate(resolve));
        holders--;
        await release();
      }),
    );
    expect(most).toBe(1);
  });

  test("is waited for no longer than the deadline", async () => {
    const path = fresh();
    const release = await acquireLock(path, within(1000));
    await expect(acquireLock(path, within(300))).rejects.toMatchObject({ code: "TIMEOUT" });
    const abort = AbortSignal.abort();
    await expect(acquireLock(path, Deadline.of("building", { signal: abort }))).rejects.toMatchObject({
      code: "ABORTED",
    });
    await release();
    expect(readdirSync(join(path, ".."))).toEqual([]);
  });
});
