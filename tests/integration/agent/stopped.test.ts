import { describe, expect, test } from "vitest";
import {
  abortedEarly,
  isRunError,
  type RunError,
  runCommand,
  spawnProcess,
} from "../../../src/agent/process/exec.ts";
import type { AgentSession } from "../../../src/agent/session/session.ts";
import type { RunOptions } from "../../../src/agent/types.ts";
import { isSmolVMError } from "../../../src/errors.ts";
import { Deadline } from "../../../src/util/deadline.ts";
import { agentMissing, useAgent } from "../../helpers/agent.ts";
import { until } from "../../helpers/wait.ts";

const missing = agentMissing();
if (missing) console.warn(`skipped: ${missing}`);

describe.skipIf(missing)("what limits end", () => {
  let session: AgentSession;
  useAgent((guest) => {
    ({ session } = guest);
  });
  const run = (command: string | string[], options?: RunOptions) => runCommand(session, command, options);
  const failure = (promise: Promise<unknown>): Promise<RunError> =>
    promise.then(
      () => expect.fail("it did not fail"),
      (error) => error,
    );

  test("throws by default, and the error has what was printed, by a type that can be asked for", async () => {
    const error: unknown = await failure(run("echo begun; echo oops >&2; sleep 100", { timeoutMs: 300 }));
    expect([isRunError(error), isRunError(error, "RUN_TIMEOUT"), isRunError(error, "RUN_ABORTED")]).toEqual([
      true,
      true,
      false,
    ]);
    expect(isSmolVMError(error, "RUN_TIMEOUT")).toBe(true);
    expect((error as RunError).result).toMatchObject({
      stdout: "begun\n",
      stderr: "oops\n",
      output: "begun\noops\n",
      exitCode: 137,
      signal: "SIGKILL",
      stoppedBy: "timeout",
    });
    const failed = await failure(run("echo no; exit 3", { check: true }));
    expect(failed).toMatchObject({ code: "RUN_FAILED", result: { exitCode: 3, stdout: "no\n" } });
    expect(failed.hint).toContain("result");
    expect(isRunError(await failure(run(["no-such-program"])))).toBe(false);
  });

  test("is a result on demand: a time that is over, an abort, too much output", async () => {
    const killed = { exitCode: 137, signal: "SIGKILL", ok: false };
    expect(await run("echo begun; sleep 31415", { timeoutMs: 300, ifStopped: "result" })).toMatchObject({
      ...killed,
      stoppedBy: "timeout",
      stdout: "begun\n",
    });
    await until("it is gone", async () => !(await run("ps ax")).stdout.includes("sleep 31415"));
    const controller = new AbortController();
    const aborted = await run("echo begun; sleep 100", {
      signal: controller.signal,
      ifStopped: "result",
      onStdout: () => controller.abort(),
    });
    expect(aborted).toMatchObject({ ...killed, stoppedBy: "abort", stdout: "begun\n" });
    const flood = await run("yes", { maxOutputBytes: 1000, ifStopped: "result", check: true });
    expect(flood).toMatchObject({ ...killed, stoppedBy: "overflow", truncated: true });
    expect(flood.stdoutBytes.length).toBe(1000);
    expect((await run("exit 3", { timeoutMs: 60_000, ifStopped: "result" })).stoppedBy).toBeUndefined();
  });

  test("is a result of a spawned process on demand, whose output ends without an error", async () => {
    const slow = spawnProcess(session, "echo begun; sleep 100", { timeoutMs: 300, ifStopped: "result" });
    let output = "";
    for await (const { data } of slow) output += Buffer.from(data);
    expect(output).toBe("begun\n");
    expect(await slow.wait()).toMatchObject({ exitCode: 137, signal: "SIGKILL", stoppedBy: "timeout" });
    const failing = spawnProcess(session, "cat", { ifStopped: "result" });
    failing.stdin.on("error", () => {}).destroy(new Error("broken"));
    await expect(failing.wait()).rejects.toMatchObject({ code: "HOST_FAILED" }); // a fault, and no limit
  });

  test("is one code when it is an abort, before the command is asked for and during it", async () => {
    const signal = AbortSignal.abort("no");
    const never = { code: "RUN_ABORTED", cause: "no", details: { killed: "never started" } };
    for (const ifStopped of ["throw", "result"] as const) {
      const error = await failure(run("true", { signal, ifStopped }));
      expect(error).toMatchObject(never);
      expect(error.result.exitCode).toBeUndefined();
      await expect(spawnProcess(session, "true", { signal, ifStopped }).wait()).rejects.toMatchObject(never);
    }
    // Before there is a session, the wait for one is what is aborted.
    const early = abortedEarly(Deadline.of("starting sandbox 'box'", { signal }).error(), "make") as RunError;
    expect(isRunError(early, "RUN_ABORTED")).toBe(true);
    expect(early).toMatchObject({ ...never, message: "running 'make' was aborted; it was not started" });
    const other = new Error("other");
    expect(abortedEarly(other, "make")).toBe(other);
  });

  test.each([
    ["keepFirst", "0001\n0002\n0003\n0004\n"],
    ["keepLast", "9997\n9998\n9999\nend\n"],
  ] as const)(
    "is not the command with overflow %s: it goes on, and a part is kept",
    async (overflow, kept) => {
      let seen = 0;
      const result = await run("seq -w 9999; echo end >&2", {
        maxOutputBytes: kept.length,
        overflow,
        onStdout: (chunk) => {
          seen += chunk.length;
        },
      });
      expect(result).toMatchObject({
        exitCode: 0,
        ok: true,
        truncated: true,
        output: kept,
        stoppedBy: undefined,
      });
      expect(seen).toBe(9999 * 5);
    },
  );

  test("keeps the last of hundreds of MiB in little memory", async () => {
    const before = process.memoryUsage.rss();
    let largest = 0;
    const result = await run("head -c 300000000 /dev/zero; echo the end", {
      maxOutputBytes: 10_000,
      overflow: "keepLast",
      onStdout: () => {
        largest = Math.max(largest, process.memoryUsage.rss());
      },
    });
    expect(result.stdout.endsWith("\0the end\n")).toBe(true);
    expect(result.stdoutBytes.length).toBe(10_000);
    expect(largest - before).toBeLessThan(128 << 20);
  });
});
