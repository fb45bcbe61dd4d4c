import { once } from "node:events";
import { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  attachProcess,
  listProcesses,
  RunError,
  runCommand,
  spawnProcess,
} from "../../../src/agent/process/exec.ts";
import type { AgentSession } from "../../../src/agent/session/session.ts";
import type { RunOptions } from "../../../src/agent/types.ts";
import { agentMissing, type LocalAgent, startAgent } from "../../helpers/agent.ts";
import { until } from "../../helpers/wait.ts";

const missing = agentMissing();
if (missing) console.warn(`skipped: ${missing}`);

describe.skipIf(missing)("a command", () => {
  let agent: LocalAgent;
  let session: AgentSession;
  beforeAll(async () => {
    agent = await startAgent();
    session = await agent.connect();
  });
  afterAll(async () => {
    await session.close();
    await agent.stop();
  });
  const run = (command: string | string[], options?: RunOptions) => runCommand(session, command, options);
  const failure = (command: string | string[], options?: RunOptions): Promise<RunError> =>
    run(command, options).then(
      () => expect.fail("it did not fail"),
      (error) => error,
    );

  test("gives its output, streams apart, and its exit code", async () => {
    const result = await run("echo out; echo err >&2; exit 3");
    expect(result).toMatchObject({
      exitCode: 3,
      signal: undefined,
      stdout: "out\n",
      stderr: "err\n",
      ok: false,
    });
    expect(result.durationMs).toBeGreaterThan(0);
  });

  test("that a signal ended is named and has a shell's exit code", async () => {
    expect(await run("kill -TERM $$")).toMatchObject({ exitCode: 143, signal: "SIGTERM", ok: false });
  });

  test("prints bytes, which arrive unchanged even where text would not survive", async () => {
    const { stdoutBytes, stdout } = await run(["printf", "\\377\\000\\303x"]);
    expect([...stdoutBytes]).toEqual([0xff, 0, 0xc3, 0x78]);
    expect(stdout).toBe("\ufffd\0\ufffdx");
  });

  test("is split between pieces without breaking characters", async () => {
    const text = "äöü€🙂".repeat(20_000);
    expect((await run(["cat"], { stdin: text })).stdout).toBe(text);
  });

  test("that does not exist, is no program or starts nowhere is refused with its own code", async () => {
    expect(await failure(["no-such-program"])).toMatchObject({ code: "COMMAND_NOT_FOUND" });
    expect(await failure(["/etc/passwd"])).toMatchObject({ code: "COMMAND_NOT_EXECUTABLE" });
    expect(await failure("true", { cwd: "/no/such" })).toMatchObject({ code: "FILE_NOT_FOUND" });
    expect(await failure("true", { user: "no-such-user" })).toMatchObject({ code: "CONFIG_INVALID" });
    expect(await failure(["echo", "x".repeat(200_000)])).toMatchObject({ code: "ARGUMENTS_TOO_LONG" });
    expect(await failure(["echo", "x".repeat(1 << 20)])).toMatchObject({ code: "ARGUMENTS_TOO_LONG" });
  });

  test("may have arguments that take several frames", async () => {
    const words = Array.from({ length: 5 }, (_, n) => `${n}`.repeat(100_000));
    const { stdout } = await run(["sh", "-c", 'for w; do printf %s "$w" | wc -c; done', "sh", ...words]);
    expect(stdout).toBe("100000\n".repeat(5));
  });

  test("gets its environment, directory and input", async () => {
    const { stdout } = await run('pwd; echo "$A-$B"; cat', {
      cwd: "/usr",
      env: { A: "b c", B: "ü", C: undefined },
      stdin: Buffer.from("in"),
    });
    expect(stdout).toBe("/usr\nb c-ü\nin");
  });

  test("reads a large input from bytes, a Readable or a generator", async () => {
    const big = Buffer.alloc(3_000_000, "0123456789");
    const pieces = async function* (): AsyncGenerator<Uint8Array> {
      for (let at = 0; at < big.length; at += 70_000) yield big.subarray(at, at + 70_000);
    };
    for (const stdin of [big, Readable.from(pieces()), pieces()]) {
      const { stdout } = await run("sha1sum; echo done", { stdin });
      expect(stdout).toBe((await run("sha1sum; echo done", { stdin: big })).stdout);
    }
  });

  test("that ends without reading its input is no error, and its source is let go", async () => {
    let returned = false;
    async function* endless(): AsyncGenerator<Uint8Array> {
      try {
        for (;;) yield Buffer.alloc(65_536);
      } finally {
        returned = true;
      }
    }
    const source = Readable.from(endless());
    expect(await run("head -c 10 | wc -c", { stdin: source })).toMatchObject({ ok: true, stdout: "10\n" });
    await until("the source is closed", () => returned);
    const idle = new Readable({ read() {} }); // never gives anything
    expect((await run("exit 4", { stdin: idle })).exitCode).toBe(4);
    expect(idle.destroyed).toBe(true);
  });

  test("whose input's source fails is killed", async () => {
    async function* broken(): AsyncGenerator<Uint8Array> {
      yield Buffer.from("x");
      throw new Error("the source broke");
    }
    const error = await failure("cat; sleep 100", { stdin: broken() });
    expect(error).toMatchObject({ code: "HOST_FAILED" });
    expect((error.cause as Error).message).toBe("the source broke");
  });

  test("streams its output to callbacks", async () => {
    const seen: string[] = [];
    await run("echo one; sleep 0.05; echo two >&2", {
      onStdout: (chunk) => seen.push(`out ${Buffer.from(chunk)}`),
      onStderr: (chunk) => seen.push(`err ${Buffer.from(chunk)}`),
    });
    expect(seen).toEqual(["out one\n", "err two\n"]);
  });

  test("can print a GiB without its output being kept, in constant memory here", async () => {
    let bytes = 0;
    let largest = 0;
    const before = process.memoryUsage.rss();
    const result = await run("head -c 1073741824 /dev/zero", {
      capture: false,
      onStdout: (chunk) => {
        bytes += chunk.length;
        if (bytes % (32 << 20) < chunk.length) largest = Math.max(largest, process.memoryUsage.rss());
      },
    });
    expect(bytes).toBe(1 << 30);
    expect(result).toMatchObject({ ok: true, stdout: "", truncated: false });
    expect(largest - before).toBeLessThan(256 << 20);
  });

  test("is killed when a callback throws, and the error keeps what was thrown", async () => {
    const thrown = new Error("enough");
    const error = await failure("echo x; sleep 100", {
      onStdout: () => {
        throw thrown;
      },
    });
    expect(error).toMatchObject({ code: "RUN_ABORTED", cause: thrown });
  });

  // What left its process group dies too, by the cgroup that only a sandbox has: tests/contract shows it. Without one
  // the agent does not claim that nothing is left.
  test("that takes too long is killed with all it started, and what it printed is in the error", async () => {
    const error = await failure("echo begun; sleep 31415 & sleep 31416", { timeoutMs: 300 });
    expect(error).toBeInstanceOf(RunError);
    expect(error).toMatchObject({
      code: "RUN_TIMEOUT",
      details: { stdout: "begun\n", stderr: "", timeoutMs: 300, killed: "incomplete" },
      result: { stdout: "begun\n", exitCode: 137, signal: "SIGKILL", ok: false },
    });
    expect(error.message).toContain("300 ms");
    await until("all is gone", async () => !(await run("ps ax")).stdout.includes("sleep 3141"));
  });

  test("can be aborted, before it starts and while it runs", async () => {
    expect(await failure("true", { signal: AbortSignal.abort("no") })).toMatchObject({
      code: "RUN_ABORTED",
      cause: "no",
      details: { killed: "never started" },
    });
    const controller = new AbortController();
    const error = await failure("echo begun; sleep 100", {
      signal: controller.signal,
      onStdout: () => controller.abort(),
    });
    expect(error).toMatchObject({ code: "RUN_ABORTED", details: { stdout: "begun\n" } });
  });

  test("that prints more than the limit is killed, with exactly the limit captured", async () => {
    const error = await failure("yes", { maxOutputBytes: 100_000 });
    expect(error).toMatchObject({ code: "OUTPUT_LIMIT", result: { truncated: true } });
    expect(error.result.stdoutBytes.length).toBe(100_000);
    expect(await run("printf 12345", { maxOutputBytes: 5 })).toMatchObject({
      stdout: "12345",
      truncated: false,
    });
  });

  test("that fails is an error only with check, and the message has its last words", async () => {
    const error = await failure("echo first >&2; echo 'it \x1b[31mbroke' >&2; exit 2", { check: true });
    expect(error).toMatchObject({ code: "RUN_FAILED", details: { exitCode: 2 } });
    expect(error.message).toContain("exit code 2: it \\x1b[31mbroke");
  });

  test("that leaves something in the background does not wait for it", async () => {
    const started = performance.now();
    const { stdout } = await run("sleep 1000 & echo $!");
    expect(performance.now() - started).toBeLessThan(5_000);
    await run(`kill ${stdout.trim()}`);
  });

  test("runs beside fifty others", async () => {
    const results = await Promise.all(Array.from({ length: 50 }, (_, n) => run(`sleep 0.1; echo ${n}`)));
    expect(results.map(({ stdout }) => stdout)).toEqual(Array.from({ length: 50 }, (_, n) => `${n}\n`));
  });

  test("waits its turn when more than 504 are asked for at once", async () => {
    const results = await Promise.all(Array.from({ length: 600 }, (_, n) => run(["echo", String(n)])));
    expect(results.map(({ stdout }) => stdout)).toEqual(Array.from({ length: 600 }, (_, n) => `${n}\n`));
  });

  test("is not held up by others whose output nobody reads", async () => {
    const unread = Array.from({ length: 4 }, () => spawnProcess(session, ["yes"]));
    await Promise.all(unread.map(({ started }) => started));
    expect((await run("echo through")).stdout).toBe("through\n");
    for (const process of unread) await process.kill("SIGKILL");
    for (const process of unread) expect((await process.wait()).signal).toBe("SIGKILL");
  });
});

describe.skipIf(missing)("a spawned process", () => {
  let agent: LocalAgent;
  let session: AgentSession;
  beforeAll(async () => {
    agent = await startAgent();
    session = await agent.connect();
  });
  afterAll(async () => {
    await session.close();
    await agent.stop();
  });

  test("tells its end, is an iterable of its output, and has its numbers once it runs", async () => {
    const process = spawnProcess(session, "echo out; echo err >&2; exit 5");
    expect(process.id).toBeUndefined();
    const { id, pid } = await process.started;
    expect([process.id, process.pid]).toEqual([id, pid]);
    const output: Record<string, string> = { stdout: "", stderr: "" };
    for await (const { stream, data } of process) output[stream] = `${output[stream]}${Buffer.from(data)}`;
    expect(output).toEqual({ stdout: "out\n", stderr: "err\n" });
    expect(await process.wait()).toMatchObject({ exitCode: 5, signal: undefined, dropped: 0 });
  });

  test("takes a session that is still on its way, and reports one that does not come", async () => {
    expect(await spawnProcess(agent.connect(), "exit 6").wait()).toMatchObject({ exitCode: 6 });
    const broken = spawnProcess(Promise.reject(new Error("no session")), "true");
    await expect(broken.started).rejects.toThrow("no session");
    await expect(broken.wait()).rejects.toThrow("no session");
    expect(await broken.kill()).toBe(false);
    expect(broken.stdin.write("x")).toBe(true);
  });

  test("that cannot start rejects, and an unawaited rejection is not reported", async () => {
    const process = spawnProcess(session, ["no-such-program"]);
    await expect(process.started).rejects.toMatchObject({ code: "COMMAND_NOT_FOUND" });
    const wrong = spawnProcess(session, []);
    await expect(wrong.wait()).rejects.toMatchObject({ code: "CONFIG_INVALID" });
    await expect(wrong[Symbol.asyncIterator]().next()).rejects.toMatchObject({ code: "CONFIG_INVALID" });
  });

  test("goes on where an earlier loop stopped", async () => {
    const process = spawnProcess(session, "echo one; sleep 0.1; echo two");
    let seen = "";
    for await (const { data } of process) {
      seen += Buffer.from(data);
      break;
    }
    for await (const { data } of process) seen += Buffer.from(data);
    expect(seen).toBe("one\ntwo\n");
  });

  test("whose end is awaited does not wait for a reader of its output", async () => {
    const process = spawnProcess(session, "head -c 2000000 /dev/zero; head -c 1000000 /dev/zero >&2");
    const { exitCode, dropped } = await process.wait();
    expect(exitCode).toBe(0);
    let kept = 0;
    for await (const { data } of process) kept += data.length;
    expect(kept).toBeGreaterThan(100_000);
    expect(kept + dropped).toBe(3_000_000);
  });

  test("loses nothing to a reader that comes right after its end was asked for", async () => {
    const process = spawnProcess(session, "head -c 2000000 /dev/zero");
    const end = process.wait();
    let bytes = 0;
    for await (const { data } of process) bytes += data.length;
    expect(bytes).toBe(2_000_000);
    expect(await end).toMatchObject({ exitCode: 0, dropped: 0 });
  });

  test("can be talked to", async () => {
    const process = spawnProcess(session, ["cat"]);
    process.stdin.write("one\n");
    const seen: string[] = [];
    for await (const { data } of process) {
      seen.push(String(Buffer.from(data)));
      if (seen.length === 1) process.stdin.write("two\n");
      else process.stdin.end();
    }
    expect(seen).toEqual(["one\n", "two\n"]);
  });

  test("holds a writer back that is faster than it reads", async () => {
    const process = spawnProcess(session, "sleep 0.3; wc -c");
    let written = 0;
    const piece = Buffer.alloc(65_536);
    while (process.stdin.write(piece)) written += piece.length;
    expect(written).toBeLessThan(2_000_000);
    await once(process.stdin, "drain");
    process.stdin.end();
    let output = "";
    for await (const { data } of process) output += Buffer.from(data);
    expect(Number(output)).toBe(written + piece.length);
  });

  test("without input or without output has none", async () => {
    expect(await spawnProcess(session, "cat", { stdin: "ignore" }).wait()).toMatchObject({ exitCode: 0 });
    const silent = spawnProcess(session, "head -c 5000000 /dev/zero; echo it is done >&2", {
      stdout: "ignore",
    });
    expect(await text(silent.stderr)).toBe("it is done\n");
    expect(await silent.wait()).toMatchObject({ exitCode: 0, dropped: 0 });
  });

  test("gets signals as a group, by name or number", async () => {
    const process = spawnProcess(session, "trap 'exit 9' USR1; sleep 1000 & echo ready; wait");
    for await (const { data } of process)
      if (String(Buffer.from(data)) === "ready\n") await process.kill("SIGUSR1");
    expect((await process.wait()).exitCode).toBe(9);
    await expect(process.kill(99)).rejects.toMatchObject({ code: "CONFIG_INVALID" });
    expect(await process.kill("SIGKILL")).toBe(false); // it has ended
  });

  test("is killed by its limits", async () => {
    const slow = spawnProcess(session, "sleep 100", { timeoutMs: 100 });
    await slow.started;
    await expect(slow.wait()).rejects.toMatchObject({ code: "RUN_TIMEOUT" });
    const controller = new AbortController();
    const aborted = spawnProcess(session, "sleep 100", { signal: controller.signal });
    await aborted.started;
    controller.abort();
    await expect(aborted.wait()).rejects.toMatchObject({ code: "RUN_ABORTED" });
  });

  test("is killed at the end of an await using scope", async () => {
    let pid: number;
    {
      await using process = spawnProcess(session, "sleep 27182");
      ({ pid } = await process.started);
    }
    expect((await runCommand(session, `kill -0 ${pid} 2>/dev/null || echo gone`)).stdout).toBe("gone\n");
  });

  test("on a terminal sees its size, its changes and Ctrl-C", async () => {
    const shell = spawnProcess(
      session,
      "stty size; trap 'stty size' WINCH; echo ready; while :; do sleep 0.05; done",
      { pty: { cols: 100, rows: 30 } },
    );
    let output = "";
    let resized = false;
    for await (const { stream, data } of shell) {
      expect(stream).toBe("stdout");
      output += Buffer.from(data);
      if (output.includes("ready") && !resized) {
        resized = true;
        await shell.resize({ cols: 120, rows: 40 });
      }
      if (output.includes("40 120")) shell.stdin.write("\x03");
    }
    expect(output).toContain("30 100\r\nready\r\n");
    expect(await shell.wait()).toMatchObject({ signal: "SIGINT" });
    await expect(spawnProcess(session, "true").resize({ cols: 1, rows: 1 })).rejects.toMatchObject({
      code: "CONFIG_INVALID",
    });
  });

  test("that is detached outlives its session and is found and attached to from another", async () => {
    const first = await agent.connect();
    const process = spawnProcess(first, "echo early; read line; echo got $line", { detached: true });
    const { id } = await process.started;
    await first.close();
    expect((await listProcesses(session)).find((entry) => entry.id === id)).toMatchObject({
      detached: true,
      running: true,
      argv: ["echo early; read line; echo got $line"],
    });
    const again = attachProcess(session, id);
    again.stdin.end("it\n");
    let output = "";
    for await (const { data } of again) output += Buffer.from(data);
    expect(output).toBe("early\ngot it\n");
    expect(await again.wait()).toMatchObject({ exitCode: 0 });
    await expect(attachProcess(session, 4_000_000).wait()).rejects.toMatchObject({
      code: "PROCESS_NOT_FOUND",
    });
  });

  test("that is detached can be attached to once at a time", async () => {
    const process = spawnProcess(session, "sleep 100", { detached: true });
    const { id } = await process.started;
    const one = attachProcess(session, id);
    await one.started;
    await expect(attachProcess(session, id).wait()).rejects.toMatchObject({ code: "VM_BUSY" });
    await one.kill("SIGKILL");
    expect(await one.wait()).toMatchObject({ signal: "SIGKILL" });
  });

  test("that is detached counts the output that nobody read in time", async () => {
    const process = spawnProcess(session, "head -c 1000000 /dev/zero; echo end", { detached: true });
    const { id } = await process.started;
    await until("it has ended", async () =>
      (await listProcesses(session)).some((p) => p.id === id && !p.running),
    );
    let bytes = 0;
    const attached = attachProcess(session, id);
    for await (const { data } of attached) bytes += data.length;
    const { dropped } = await attached.wait();
    expect(bytes).toBeGreaterThan(200_000);
    expect(bytes).toBeLessThanOrEqual(262_144);
    expect(bytes + dropped).toBe(1_000_004);
  });

  test("dies with its session unless it is detached", async () => {
    const other = await agent.connect();
    const process = spawnProcess(other, "sleep 16180");
    const { pid } = await process.started;
    await other.close();
    await expect(process.wait()).rejects.toMatchObject({ code: "OUTCOME_UNKNOWN" });
    await until("it is gone", async () =>
      (await runCommand(session, `kill -0 ${pid} 2>/dev/null || echo gone`)).stdout.includes("gone"),
    );
  });
});
