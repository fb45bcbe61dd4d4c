import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { type RunProgramOptions, runProgram } from "../../../../src/host/process/run.ts";
import { Deadline } from "../../../../src/util/deadline.ts";
import { processesNaming } from "../../../helpers/home.ts";
import { until } from "../../../helpers/wait.ts";

const soon = (timeoutMs = 20_000): Deadline => Deadline.of("the test's program", { timeoutMs });
const sh = (script: string, options: Partial<RunProgramOptions> = {}) =>
  runProgram(["sh", "-c", script], { deadline: soon(), ...options });

describe("running a program", () => {
  test("returns what it printed and how it ended", async () => {
    const result = await sh("echo out; echo err >&2; exit 3", { check: false });
    expect(result).toMatchObject({ stdout: "out\n", stderr: "err\n", code: 3, signal: undefined });
  });

  test("gives it its stdin, or none", async () => {
    expect((await runProgram(["cat"], { deadline: soon(), stdin: "héllo" })).stdout).toBe("héllo");
    expect((await runProgram(["cat"], { deadline: soon() })).stdout).toBe("");
  });

  test("streams a stdin of any length, and survives a program that does not read it", async () => {
    async function* flood(): AsyncGenerator<Uint8Array> {
      for (let i = 0; i < 64; i++) yield Buffer.alloc(65_536, 0x61);
    }
    expect((await runProgram(["wc", "-c"], { deadline: soon(), stdin: flood() })).stdout.trim()).toBe(
      String(64 * 65_536),
    );
    expect((await runProgram(["true"], { deadline: soon(), stdin: flood() })).code).toBe(0);
    // Nor does it wait for what nobody will read any more.
    const never = async function* (): AsyncGenerator<Uint8Array> {
      await new Promise(() => {});
      yield new Uint8Array();
    };
    expect((await runProgram(["true"], { deadline: soon(), stdin: never() })).code).toBe(0);
  });

  test("runs argv as it is: no shell sees it", async () => {
    expect((await runProgram(["echo", "$(id) `id` ;|&"], { deadline: soon() })).stdout).toBe(
      "$(id) `id` ;|&\n",
    );
  });

  test("uses exactly the environment and directory that it is given", async () => {
    const result = await runProgram(["/bin/sh", "-c", "echo $A-$HOME; pwd"], {
      deadline: soon(),
      env: { A: "1" },
      cwd: "/",
    });
    expect(result.stdout).toBe("1-\n/\n");
  });

  test("keeps bytes that are no UTF-8", async () => {
    expect([...(await sh("printf '\\377\\000a'")).stdoutBytes]).toEqual([255, 0, 97]);
  });

  test("hands chunks on while it runs, and holds the program back while they are not taken", async () => {
    let bytes = 0;
    const result = await sh("head -c 3000000 /dev/zero", {
      onStdout: async (chunk) => {
        bytes += chunk.length;
        await new Promise((resolve) => setImmediate(resolve));
      },
    });
    expect(bytes).toBe(3_000_000);
    expect(result.stdout).toBe("");
  });

  test("a failure names the program, its exit code, its duration and its last words", async () => {
    await expect(sh("echo one >&2; echo two >&2; exit 9")).rejects.toMatchObject({
      code: "HOST_FAILED",
      message: expect.stringMatching(/^'sh' exited with 9 after \d+ ms: one\ntwo$/),
      details: { exitCode: 9, argv: ["sh", "-c", expect.any(String)] },
    });
  });

  test("the last words are in the error even when stderr was streamed, and stay bounded", async () => {
    const script = "i=0; while [ $i -lt 20000 ]; do echo line $i >&2; i=$((i+1)); done; exit 1";
    await expect(sh(script, { onStderr: () => {} })).rejects.toMatchObject({
      message: expect.stringContaining("line 19999"),
    });
  });

  test("a program that does not exist is DEPENDENCY_MISSING with the hint that was given", async () => {
    const missing = runProgram(["no-such-program"], { deadline: soon(), installHint: "Install it: magic" });
    await expect(missing).rejects.toMatchObject({
      code: "DEPENDENCY_MISSING",
      message: "no-such-program not found",
      hint: "Install it: magic",
    });
  });

  test("a directory that does not exist is told as such", async () => {
    await expect(sh("true", { cwd: "/no/such/dir" })).rejects.toMatchObject({
      code: "HOST_FAILED",
      details: { cwd: "/no/such/dir" },
    });
  });

  test("more output than allowed ends it", async () => {
    await expect(runProgram(["yes"], { deadline: soon(), maxOutputBytes: 10_000 })).rejects.toMatchObject({
      code: "HOST_FAILED",
      message: "'yes' printed more than 10000 bytes",
    });
  });

  test("an error of the caller's chunk handler ends it and comes back", async () => {
    const oops = new Error("oops");
    const failing = runProgram(["yes"], {
      deadline: soon(),
      onStdout: () => {
        throw oops;
      },
    });
    await expect(failing).rejects.toBe(oops);
  });
});

describe("at the deadline", () => {
  test("the program and everything that it started are killed, even what ignores TERM", async () => {
    const dir = mkdtempSync(join(tmpdir(), "smr-"));
    const mark = `${dir}/mark`;
    const script = `trap '' TERM; sh -c 'trap "" TERM; while :; do sleep 0.1; done' ${mark} & while :; do sleep 0.1; done`;
    const started = performance.now();
    await expect(sh(script, { deadline: soon(300) })).rejects.toMatchObject({ code: "TIMEOUT" });
    expect(performance.now() - started).toBeLessThan(15_000);
    await until("nothing of it is left", () => processesNaming(mark).length === 0);
    rmSync(dir, { recursive: true });
  });

  test("a program that left its group and holds the pipes does not hold us", async () => {
    const result = sh("setsid sleep 30 & echo started; exit 0", { deadline: soon(500) });
    await expect(result).rejects.toMatchObject({ code: "TIMEOUT" });
    for (const line of processesNaming("sleep 30")) process.kill(Number(line.split(" ")[0]), "SIGKILL");
  });

  test("a caller's abort is ABORTED", async () => {
    const controller = new AbortController();
    const running = sh("sleep 30", { deadline: Deadline.of("it", { signal: controller.signal }) });
    controller.abort();
    await expect(running).rejects.toMatchObject({ code: "ABORTED" });
  });
});
