import { createReadStream, openSync, writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { Readable, type Writable } from "node:stream";
import { text } from "node:stream/consumers";
import { pipeline } from "node:stream/promises";
import { setImmediate as turn } from "node:timers/promises";
import { createContext, runInContext } from "node:vm";
import { describe, expect, test } from "vitest";
import type { GuestFiles } from "../../../src/agent/files/guest-files.ts";
import { listProcesses, runCommand, spawnProcess } from "../../../src/agent/process/exec.ts";
import type { AgentSession } from "../../../src/agent/session/session.ts";
import type { GuestProcess } from "../../../src/agent/types.ts";
import { agentMissing, useAgent } from "../../helpers/agent.ts";
import { until } from "../../helpers/wait.ts";

const missing = agentMissing();
if (missing) console.warn(`skipped: ${missing}`);

describe.skipIf(missing)("streams", () => {
  let session: AgentSession;
  let files: GuestFiles;
  const directory = useAgent((guest) => {
    ({ session, files } = guest);
  });
  const gone = (pid: number) => async (): Promise<boolean> =>
    (await runCommand(session, `kill -0 ${pid} 2>/dev/null || echo gone`)).stdout === "gone\n";

  describe("of a process's output", () => {
    test("are read apart, as text or bytes", async () => {
      const process = spawnProcess(session, "echo größe; echo oops >&2; exit 3");
      const [out, err] = await Promise.all([text(process.stdout), process.stderr.toArray()]);
      expect(out).toBe("größe\n");
      expect(Buffer.concat(err).toString()).toBe("oops\n");
      expect(await process.wait()).toMatchObject({ exitCode: 3, dropped: 0 });
    });

    test("give lines and web streams by what Node has for it", async () => {
      const lines: string[] = [];
      for await (const line of createInterface({ input: spawnProcess(session, "seq 3").stdout }))
        lines.push(line);
      expect(lines).toEqual(["1", "2", "3"]);
      const web = Readable.toWeb(spawnProcess(session, "printf abc").stdout);
      expect(await new Response(web as ReadableStream).text()).toBe("abc");
    });

    test("hold the process back while nobody takes from them, and lose nothing", async () => {
      const process = spawnProcess(session, "head -c 3000000 /dev/zero; echo done >&2");
      const slow = process.stdout.iterator();
      let bytes = ((await slow.next()).value as Buffer).length;
      const done = text(process.stderr);
      const early = await Promise.race([done, until("it waits", quiet(process)).then(() => "it waits")]);
      expect(early).toBe("it waits");
      for await (const chunk of slow) bytes += (chunk as Buffer).length;
      expect(bytes).toBe(3_000_000);
      expect(await done).toBe("done\n");
    });

    test("of which one is read alone do not wait for the other once the end is awaited", async () => {
      const process = spawnProcess(session, "head -c 2000000 /dev/zero >&2; echo out");
      const end = process.wait();
      expect(await text(process.stdout)).toBe("out\n");
      const { dropped } = await end;
      const kept = Buffer.concat(await process.stderr.toArray()).length;
      expect(kept).toBeGreaterThan(100_000);
      expect(kept + dropped).toBe(2_000_000);
    });

    test("are taken one piece by one reader, whoever asks", async () => {
      const process = spawnProcess(session, "echo out; echo err >&2");
      expect(await text(process.stdout)).toBe("out\n");
      const rest: string[] = [];
      for await (const { stream, data } of process) rest.push(`${stream} ${Buffer.from(data)}`);
      expect(rest).toEqual(["stderr err\n"]);
    });

    test("end with the error of the process", async () => {
      const slow = spawnProcess(session, "echo begun; sleep 100", { timeoutMs: 300 });
      await expect(text(slow.stdout)).rejects.toMatchObject({ code: "RUN_TIMEOUT" });
      await expect(text(spawnProcess(session, ["no-such-program"]).stderr)).rejects.toMatchObject({
        code: "COMMAND_NOT_FOUND",
      });
    });

    test("that are destroyed let the others go on", async () => {
      const process = spawnProcess(session, "echo one; read line; echo two; echo three >&2");
      for await (const chunk of process.stdout) {
        expect(String(chunk)).toBe("one\n");
        break; // destroys it
      }
      process.stdin.end("\n");
      expect(await text(process.stderr)).toBe("three\n");
      expect(await process.wait()).toMatchObject({ exitCode: 0 });
    });

    test("are empty where there is a terminal for stderr", async () => {
      const process = spawnProcess(session, "echo out; echo err >&2", { pty: { cols: 80, rows: 24 } });
      expect(await text(process.stdout)).toBe("out\r\nerr\r\n");
      expect(await text(process.stderr)).toBe("");
    });

    test("of a detached process are attached to when they are read", async () => {
      const process = spawnProcess(session, "read line; echo got $line", { detached: true });
      process.stdin.end("it\n");
      expect(await text(process.stdout)).toBe("got it\n");
      expect(await process.wait()).toMatchObject({ exitCode: 0 });
    });
  });

  test("a process can be returned by an async function, which does not wait for its end", async () => {
    const start = async (): Promise<GuestProcess> => spawnProcess(session, "read line; exit 7");
    const process = await start();
    await process.started;
    process.stdin.end("\n");
    expect(await process.wait()).toMatchObject({ exitCode: 7 });
  });

  describe("kill", () => {
    test("says whether there was something to kill", async () => {
      const process = spawnProcess(session, "sleep 1000");
      expect(await process.kill("SIGKILL")).toBe(true);
      expect(await process.wait()).toMatchObject({ signal: "SIGKILL" });
      expect(await process.kill()).toBe(false);
      expect(await spawnProcess(session, ["no-such-program"]).kill()).toBe(false);
    });

    test("of a detached process says it, too, also when nobody is attached", async () => {
      const process = spawnProcess(session, "sleep 1000", { detached: true });
      const { id } = await process.started;
      expect(await process.kill("SIGKILL")).toBe(true);
      const running = async (): Promise<boolean> =>
        (await listProcesses(session)).some((entry) => entry.id === id && entry.running);
      await until("it has ended", async () => !(await running()));
      expect(await process.kill("SIGKILL")).toBe(false);
    });

    test("has limits and options of its own", async () => {
      const process = spawnProcess(session, "sleep 1000");
      await expect(process.kill("SIGTERM", { signal: AbortSignal.abort() })).rejects.toMatchObject({
        code: "ABORTED",
      });
      await expect(process.kill("SIGTERM", { trees: true } as never)).rejects.toMatchObject({
        code: "CONFIG_INVALID",
      });
      expect(await process.kill("SIGKILL", { tree: true })).toBe(true);
    });
  });

  describe("of input that fail", () => {
    const SOURCES: Record<string, () => Readable | AsyncIterable<Uint8Array>> = {
      "a directory": () => createReadStream(directory()),
      "a file with unreadable blocks": () => createReadStream("", { fd: openSync("/proc/self/mem", "r") }),
      "a stream that is destroyed": () => {
        const source = new Readable({ read() {} });
        source.push("x");
        setImmediate(() => source.destroy());
        return source;
      },
      "a stream that was destroyed before": () => new Readable({ read() {} }).destroy(),
      "a web stream that is aborted": () =>
        new ReadableStream({ pull: (controller) => controller.error(new Error("it was reset")) }) as never,
      "a generator that throws": async function* () {
        yield Buffer.from("x");
        throw new Error("it broke");
      },
      "a generator of something else": async function* () {
        yield 5 as never;
      },
    };

    test.each(Object.entries(SOURCES))("%s does not pass for input that has ended", async (_name, source) => {
      const kept = directory();
      writeFileSync(`${kept}/file`, "old");
      const error = await runCommand(
        session,
        ["sh", "-c", `cat > '${kept}/got'; echo ended > '${kept}/end'`],
        {
          stdin: source(),
        },
      ).catch((reason: unknown) => reason);
      expect(error).toMatchObject({
        code: "HOST_FAILED",
        // This agent is no PID 1 with cgroups of its own: it cannot know of all.
        message: expect.stringMatching(
          /stdin could not be read: .+; it was killed, but the guest does not know/,
        ),
        hint: expect.stringContaining("it failed, and did not end"),
      });
      await expect(files.read(`${kept}/end`)).rejects.toMatchObject({ code: "FILE_NOT_FOUND" });
      await expect(files.write(`${kept}/file`, source())).rejects.toMatchObject({ code: "HOST_FAILED" });
      expect(await files.readText(`${kept}/file`)).toBe("old");
      await expect(files.uploadTar(source(), `${kept}/tree`)).rejects.toMatchObject({ code: "HOST_FAILED" });
    });

    test("kill a spawned process into which they are piped", async () => {
      const process = spawnProcess(session, "cat > /dev/null; sleep 1000");
      const { pid } = await process.started;
      await expect(pipeline(createReadStream(directory()), process.stdin)).rejects.toMatchObject({
        code: "EISDIR",
      });
      await expect(process.wait()).rejects.toMatchObject({
        code: "HOST_FAILED",
        message: expect.stringContaining("EISDIR"),
      });
      await until("it is gone", gone(pid));
    });

    test("without a reason only end the input, and after its end change nothing", async () => {
      const cat = spawnProcess(session, "cat; echo ended");
      cat.stdin.write("x");
      await turn();
      cat.stdin.destroy();
      expect(await text(cat.stdout)).toContain("ended");
      const late = spawnProcess(session, "cat; sleep 0.2; exit 4");
      late.stdin.on("error", () => {});
      late.stdin.end("x", () => late.stdin.destroy(new Error("too late to matter")));
      expect(await late.wait()).toMatchObject({ exitCode: 4 });
      const without = spawnProcess(session, "sleep 0.2; exit 5", { stdin: "ignore" });
      without.stdin.on("error", () => {}).destroy(new Error("nobody reads it"));
      expect(await without.wait()).toMatchObject({ exitCode: 5 });
    });

    test("leave a file as it was that was written from a stream", async () => {
      const path = `${directory()}/file`;
      await files.write(path, "old");
      const sink: Writable = await files.writeStream(path);
      await expect(pipeline(createReadStream(directory()), sink)).rejects.toMatchObject({ code: "EISDIR" });
      expect(await files.readText(path)).toBe("old");
    });
  });

  test("bytes of another realm are bytes, as input, content and archive", async () => {
    const context = createContext({});
    const foreign = (source: string) => runInContext(source, context);
    const bytes = foreign("new Uint8Array([104, 105])");
    const pieces = async function* (): AsyncGenerator<Uint8Array> {
      yield bytes;
      yield foreign("new Uint8Array([33]).buffer");
    };
    expect((await runCommand(session, "cat", { stdin: bytes })).stdout).toBe("hi");
    expect((await runCommand(session, "cat", { stdin: pieces() })).stdout).toBe("hi!");
    const path = `${directory()}/file`;
    await files.write(path, bytes, { mtime: foreign("new Date(1e12)") });
    expect((await files.stat(path)).mtime).toEqual(new Date(1e12));
    expect(await files.readText(path)).toBe("hi");
    await files.write(path, pieces());
    expect(await files.readText(path)).toBe("hi!");
    const archive = async function* (): AsyncGenerator<Uint8Array> {
      yield foreign("new Uint8Array(1024)");
    };
    expect(await files.uploadTar(archive(), `${directory()}/tree`)).toMatchObject({ entries: 0 });
    await expect(files.write(path, "x", { mtime: "today" } as never)).rejects.toMatchObject({
      code: "CONFIG_INVALID",
    });
  });

  /** Whether its main thread waits for a pipe that is full: what it printed is not taken. */
  function quiet(process: GuestProcess): () => Promise<boolean> {
    return async () => {
      const { pid } = await process.started;
      return (
        await runCommand(session, `cat /proc/${pid}/wchan /proc/$(pgrep -P ${pid})/wchan`)
      ).stdout.includes("pipe");
    };
  }
});
