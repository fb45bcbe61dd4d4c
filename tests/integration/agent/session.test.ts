import { once } from "node:events";
import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { GuestFiles } from "../../../src/agent/files/guest-files.ts";
import { shutdown } from "../../../src/agent/machine.ts";
import { isRunError, runCommand, spawnProcess } from "../../../src/agent/process/exec.ts";
import { AgentSession } from "../../../src/agent/session/session.ts";
import { encodeFrame, FrameType } from "../../../src/agent/wire/frame.ts";
import { MAGIC } from "../../../src/agent/wire/hello.ts";
import { Deadline } from "../../../src/util/deadline.ts";
import { firstRequest } from "../../../src/vm/machine/first-request.ts";
import { type Behaviour, FakeGuest, type FakeStream } from "../../fakes/fake-guest.ts";
import { until } from "../../helpers/wait.ts";

const soon = (timeoutMs = 5_000): Deadline => Deadline.of("connecting", { timeoutMs });

/** What a promise rejects with; asked for at once, so that no rejection is unhandled while others are awaited. */
function failure(promise: PromiseLike<unknown>): Promise<Error & Record<string, unknown>> {
  return Promise.resolve(promise).then(
    () => expect.fail("it did not fail"),
    (error) => error,
  );
}

/** A guest whose answer to the first request is up to the test. */
async function guestThat(onOpen: (stream: FakeStream) => void, more: Partial<Behaviour> = {}) {
  const guest = await FakeGuest.start({ onOpen, ...more });
  const session = await guest.connect();
  return { guest, session, connection: guest.connections[0]! };
}

describe("connecting", () => {
  test("waits for a socket that is not there yet, and takes it as soon as it comes", async () => {
    await using guest = FakeGuest.prepare();
    const connecting = AgentSession.connect({ kind: "unix", path: guest.socketPath }, { deadline: soon() });
    await new Promise((resolve) => setImmediate(resolve));
    const started = performance.now();
    await guest.listen();
    const session = await connecting;
    expect(performance.now() - started).toBeLessThan(200);
    expect(session.hello).toMatchObject({ version: 1, agent: "fake", bootId: "fake-boot" });
    await session.close();
  });

  test("gives up at its deadline, when aborted, and when the machine has ended", async () => {
    const endpoint = { kind: "unix", path: "/tmp/smolvm-no-such-directory/socket" } as const;
    await expect(AgentSession.connect(endpoint, { deadline: soon(60) })).rejects.toMatchObject({
      code: "TIMEOUT",
    });
    const controller = new AbortController();
    const aborted = failure(
      AgentSession.connect(endpoint, { deadline: Deadline.of("connecting", { signal: controller.signal }) }),
    );
    controller.abort();
    expect(await aborted).toMatchObject({ code: "ABORTED" });
    const exited = Promise.resolve();
    await expect(AgentSession.connect(endpoint, { deadline: soon(), exited })).rejects.toMatchObject({
      code: "AGENT_LOST",
    });
  });

  test("to a guest that never answers ends at the deadline", async () => {
    await using guest = await FakeGuest.start({ onHello: () => false });
    await expect(guest.connect(100)).rejects.toMatchObject({ code: "TIMEOUT" });
  });

  test("asks a silent guest again with a flush and another nonce, and takes only the last answer", async () => {
    await using guest = await FakeGuest.start({
      onHello: (connection, hello) => {
        if (connection.hellos.length === 1) return false;
        const [first] = connection.hellos;
        expect(Buffer.from(hello.nonce).equals(Buffer.from(first!.nonce))).toBe(false);
        connection.hello({ version: 1, nonce: first!.nonce, agent: "too late" });
        connection.frame(0, FrameType.PING, 0, Buffer.from("old"));
        connection.hello({ version: 1, nonce: hello.nonce, agent: "in time" });
        return true;
      },
    });
    const session = await guest.connect();
    expect(session.hello.agent).toBe("in time");
    await session.close();
  });

  test("hangs up on a port that says nothing at all, and takes the answer of the next connection", async () => {
    await using guest = await FakeGuest.start({
      onHello: (connection, hello) => {
        if (connection === guest.connections[0]) return false;
        connection.hello({ version: 1, nonce: hello.nonce, agent: "freed" });
        return true;
      },
    });
    const session = await guest.connect();
    expect(session.hello.agent).toBe("freed");
    expect(guest.connections).toHaveLength(2);
    await session.close();
  });

  test("does not flush a machine that was just booted", async () => {
    await using guest = await FakeGuest.start({ onHello: () => false });
    const endpoint = { kind: "unix", path: guest.socketPath } as const;
    await expect(AgentSession.connect(endpoint, { deadline: soon(1300), fresh: true })).rejects.toThrow();
    expect(guest.connections[0]!.hellos.length).toBe(1);
  });

  test("skips what an earlier session left unread", async () => {
    await using guest = await FakeGuest.start({
      onHello: (connection, hello) => {
        connection.send(Buffer.alloc(4 * 1024 * 1024, 0xff));
        connection.send(MAGIC);
        connection.frame(7, FrameType.DATA, 1, Buffer.from("old"));
        connection.hello({ version: 1, nonce: hello.nonce });
        return true;
      },
    });
    await (await guest.connect()).close();
  });

  test("gives up on a guest that floods instead of answering", async () => {
    await using guest = await FakeGuest.start({
      onHello: ({ socket }) => {
        const junk = Buffer.alloc(1024 * 1024, MAGIC);
        const pump = (): void => {
          while (socket.writable && socket.write(junk));
        };
        socket.on("drain", pump);
        pump();
        return true;
      },
    });
    await expect(guest.connect()).rejects.toMatchObject({ code: "AGENT_PROTOCOL" });
  });

  test.each([
    [7, /version 7, this library version 1/, /npm install/],
    [0, /version 0, this library version 1/, /Stop and start/],
  ])("refuses an agent of version %i and says what to do", async (version, message, hint) => {
    await using guest = await FakeGuest.start({
      onHello: (connection, hello) => {
        connection.hello({ version, nonce: hello.nonce });
        return true;
      },
    });
    const error = await guest.connect().catch((reason) => reason);
    expect(error).toMatchObject({ code: "AGENT_VERSION", details: { guestVersion: version } });
    expect(error.message).toMatch(message);
    expect(error.hint).toMatch(hint);
  });

  describe("to an agent that is not waited for", () => {
    const eagerly = (guest: FakeGuest): Promise<AgentSession> =>
      AgentSession.connect(
        { kind: "unix", path: guest.socketPath },
        { deadline: soon(), fresh: false, eager: true },
      );

    test("asks right behind the hello, and knows who it is with the answer", async () => {
      await using guest = await FakeGuest.start({
        onOpen: (stream) => stream.opened({}).data(1, "hi\n").end(1).end(2).result({ exitCode: 0 }),
      });
      const session = await eagerly(guest);
      expect(() => session.hello).toThrow("has not answered");
      expect((await runCommand(session, ["echo", "hi"])).stdout).toBe("hi\n");
      expect(session.hello.agent).toBe("fake");
      expect(guest.connections[0]!.hellos).toHaveLength(1);
      await session.close();
    });

    test("takes an answer that comes in pieces, behind what an earlier session left unread", async () => {
      const later: Buffer[] = [];
      await using guest = await FakeGuest.start({
        onHello: (connection, hello) => {
          const { send } = connection;
          connection.send = (bytes) => void later.push(Buffer.from(bytes));
          connection.hello({ version: 1, nonce: hello.nonce, agent: "slow" });
          connection.send = send;
          connection.send(Buffer.alloc(100_000, 0xff));
          const whole = Buffer.concat(later);
          connection.send(whole.subarray(0, 20));
          setTimeout(() => connection.send(whole.subarray(20)), 20);
          return false; // it answers nothing else before that
        },
      });
      const session = await eagerly(guest);
      await until("the answer is there", () => {
        try {
          return session.hello.agent === "slow";
        } catch {
          return false;
        }
      });
      await session.close();
    });

    test("is lost where it says nothing for a second, and nothing says that it ran", async () => {
      await using guest = await FakeGuest.start({ onHello: () => false });
      const session = await eagerly(guest);
      const error = await failure(runCommand(session, ["echo"]));
      expect(["AGENT_LOST", "OUTCOME_UNKNOWN"]).toContain(error.code);
      expect(await session.ended).toMatchObject({ reason: "lost" });
    });

    test("is lost where it is of another version: who asks it again is told", async () => {
      await using guest = await FakeGuest.start({
        onHello: (connection, hello) => {
          connection.hello({ version: 7, nonce: hello.nonce });
          return true;
        },
      });
      const tries: boolean[] = [];
      const error = await failure(
        firstRequest(
          (isFirst) => {
            tries.push(isFirst);
            return isFirst ? eagerly(guest) : guest.connect();
          },
          (session) => runCommand(session, ["echo"]),
        ),
      );
      expect(error).toMatchObject({ code: "AGENT_VERSION", details: { guestVersion: 7 } });
      expect(tries).toEqual([true, false]);
    });

    test("breaks a rule where what it sends is no answer, however much it is", async () => {
      await using guest = await FakeGuest.start({
        onHello: (connection) => {
          const { socket } = connection;
          const pump = (): void => {
            while (socket.writable && socket.write(Buffer.alloc(1 << 20, 0xff)));
          };
          socket.on("drain", pump);
          pump();
          return true;
        },
      });
      const session = await eagerly(guest);
      expect(await session.ended).toMatchObject({ reason: "protocol" });
    });

    test("is asked once more where the connection ends before the answer", async () => {
      await using guest = await FakeGuest.start({
        onHello: (connection, hello) => {
          if (guest.connections.length === 1) connection.socket.destroy();
          else connection.hello({ version: 1, nonce: hello.nonce, agent: "second" });
          return true;
        },
        onOpen: (stream) => stream.opened({}).end(1).end(2).result({ exitCode: 3 }),
      });
      const { session, answer } = await firstRequest(
        (isFirst) => (isFirst ? eagerly(guest) : guest.connect()),
        (asked) => runCommand(asked, ["sh"]),
      );
      expect(answer.exitCode).toBe(3);
      expect(session.hello.agent).toBe("second");
      await session.close();
    });
  });

  test("tries again when it is hung up on before the answer", async () => {
    await using guest = await FakeGuest.start({
      onHello: (connection, hello) => {
        if (guest.connections.length < 3) connection.socket.destroy();
        else connection.hello({ version: 1, nonce: hello.nonce });
        return true;
      },
    });
    await (await guest.connect()).close();
    expect(guest.connections.length).toBe(3);
  });

  test("that was hung up on tries again each time that the machine says something", async () => {
    const directory = mkdtempSync(join(tmpdir(), "smolvm-console-"));
    const progressFile = join(directory, "console");
    writeFileSync(progressFile, "");
    let ready = false;
    await using guest = await FakeGuest.start({
      onHello: (connection, hello) => {
        if (ready) connection.hello({ version: 1, nonce: hello.nonce });
        else connection.socket.destroy();
        return true;
      },
    });
    try {
      const endpoint = { kind: "unix", path: guest.socketPath } as const;
      // By itself it tries five times a second: the 200 tries below would take twice as long.
      const options = { deadline: soon(20_000), fresh: true, progressFile };
      const connecting = AgentSession.connect(endpoint, options);
      for (let line = 1; line <= 200; line++) {
        const before = guest.connections.length;
        appendFileSync(progressFile, `line ${line}\n`);
        await Promise.race([until("another try", () => guest.connections.length > before), connecting]);
      }
      ready = true;
      await (await connecting).close();
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});

describe("a session", () => {
  test("measures round trips", async () => {
    await using guest = await FakeGuest.start();
    const session = await guest.connect();
    expect(await session.ping(soon())).toBeGreaterThan(0);
    guest.behaviour.answersPings = false;
    await expect(session.ping(soon(50))).rejects.toMatchObject({ code: "TIMEOUT" });
    await session.close();
    await expect(session.ping()).rejects.toMatchObject({ code: "AGENT_LOST" });
  });

  test("is idle while nothing is open", async () => {
    const { guest, session } = await guestThat(() => {});
    await using _ = guest;
    expect(session.idle).toBe(true);
    const running = failure(runCommand(session, "x"));
    expect(session.idle).toBe(false);
    await session.close();
    expect(await running).toMatchObject({ code: "OUTCOME_UNKNOWN" });
    expect(session.idle).toBe(true);
  });

  test("that closes tells every request what became of it", async () => {
    const { guest, session } = await guestThat(() => {});
    await using _ = guest;
    const files = new GuestFiles(async () => session);
    const command = failure(runCommand(session, "make install"));
    const process = spawnProcess(session, "sleep 9");
    const write = failure(files.write("/a", "b"));
    const stat = failure(files.stat("/a"));
    await until("all were sent", () => guest.connections[0]!.streams.size === 4);
    await session.close();
    expect(await session.ended).toMatchObject({ reason: "closed" });
    expect(await command).toMatchObject({ code: "OUTCOME_UNKNOWN", message: /make install/ });
    expect(await failure(process.wait())).toMatchObject({ code: "OUTCOME_UNKNOWN" });
    expect(await failure(process.started)).toMatchObject({ code: "OUTCOME_UNKNOWN" });
    expect(await write).toMatchObject({ code: "OUTCOME_UNKNOWN" });
    expect(await stat).toMatchObject({ code: "AGENT_LOST" });
    await expect(runCommand(session, "more")).rejects.toMatchObject({ code: "AGENT_LOST" });
    await session.close(); // closing twice is fine
  });

  test("whose channel dies reports it, with the output so far", async () => {
    const { guest, session } = await guestThat((stream) => {
      stream.opened({ process: 1, pid: 2 }).data(1, "so far\n");
      stream.connection.socket.end();
    });
    await using _ = guest;
    const error = await runCommand(session, "make").catch((reason) => reason);
    expect(isRunError(error, "OUTCOME_UNKNOWN")).toBe(true);
    expect(error).toMatchObject({ details: { stdout: "so far\n", started: true } });
    // It has happened, and nobody knows how it ended: no exit code is made up.
    expect(error.message).toBe(
      "running 'make' was cut off: the channel to the guest ended while it ran; how it ended is not known",
    );
    expect(error.result).toMatchObject({ stdout: "so far\n", ok: false });
    expect([error.result.exitCode, error.result.signal, error.details.exitCode]).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
    expect(await session.ended).toMatchObject({ reason: "lost" });
  });

  test("whose channel dies while a process runs says that it ran", async () => {
    const { guest, session } = await guestThat((stream) => stream.opened({ process: 1, pid: 2 }));
    await using _ = guest;
    const process = spawnProcess(session, "make");
    await process.started;
    guest.connections[0]!.socket.destroy();
    await expect(process.wait()).rejects.toMatchObject({
      code: "OUTCOME_UNKNOWN",
      message: expect.stringMatching(/^running 'make' was cut off: .*; how it ended is not known$/),
    });
    expect(await process.kill()).toBe(false);
  });

  test("lets a signal through where 504 processes run and more wait", async () => {
    const signals: FakeStream[] = [];
    const { guest, session, connection } = await guestThat((stream) => {
      if (stream.open.processSignal === undefined) stream.opened({ process: stream.id, pid: stream.id });
      else signals.push(stream.result());
    });
    await using _ = guest;
    const processes = Array.from({ length: 510 }, () => spawnProcess(session, "sleep 9"));
    await processes[503]!.started;
    expect(connection.streams.size).toBe(504);
    expect(await processes[0]!.kill()).toBe(true);
    expect(signals.length).toBe(1);
    expect(connection.streams.size).toBe(505); // those that waited still do
    await session.close();
  });

  test("of a guest that does not confirm a kill claims no end, and gives no result", async () => {
    const { guest, session } = await guestThat((stream) =>
      stream.opened({ process: 1, pid: 2 }).data(1, "x"),
    );
    await using _ = guest;
    const limits = { timeoutMs: 50, ifStopped: "result" } as const;
    const process = spawnProcess(session, "sleep 9", limits);
    const ended = failure(process.wait());
    const error = await failure(runCommand(session, "sleep 9", limits));
    expect(error).toMatchObject({
      code: "RUN_TIMEOUT",
      message: expect.stringMatching(/; the guest did not confirm that it was killed$/),
      result: { stdout: "x", stoppedBy: "timeout" },
    });
    expect((error as unknown as { result: { exitCode: unknown } }).result.exitCode).toBeUndefined();
    expect(await ended).toMatchObject({ code: "RUN_TIMEOUT", details: { killed: "unconfirmed" } });
    await session.close();
  });

  test("knows a wanted stop from a crash", async () => {
    const { guest, session, connection } = await guestThat((stream) => {
      if (stream.open.shutdown) stream.connection.goodbye("shutdown\x1b[31m");
    });
    await using _ = guest;
    const running = failure(runCommand(session, "sleep 9"));
    await shutdown(session, { graceMs: 100, timeoutMs: 5_000 });
    expect(await session.ended).toMatchObject({
      reason: "goodbye",
      message: "the sandbox was stopped (shutdown\\x1b[31m)",
    });
    expect(await running).toMatchObject({ code: "OUTCOME_UNKNOWN", message: /was stopped/ });
    await once(connection.socket, "close");
    const lost = await guestThat((stream) => stream.connection.socket.destroy());
    await using __ = lost.guest;
    await expect(shutdown(lost.session)).rejects.toMatchObject({ code: "AGENT_LOST" });
  });

  test("that is closed in the middle of a frame is lost, not broken", async () => {
    const { guest, session } = await guestThat((stream) => {
      stream.opened();
      stream.connection.send(encodeFrame(stream.id, FrameType.DATA, 1, Buffer.alloc(1000)).subarray(0, 500));
      stream.connection.socket.end();
    });
    await using _ = guest;
    await expect(runCommand(session, "x")).rejects.toMatchObject({ code: "OUTCOME_UNKNOWN" });
    expect(await session.ended).toMatchObject({ reason: "lost" });
  });

  test("opens at most 504 streams and the others in order as those end", async () => {
    const opened: FakeStream[] = [];
    const { guest, session } = await guestThat((stream) => void opened.push(stream));
    await using _ = guest;
    const running = Array.from({ length: 515 }, (_, n) => runCommand(session, `${n}`, { stdin: "in" }));
    await until("504 are open", () => opened.length === 504);
    const queued = await failure(runCommand(session, "given up", { signal: AbortSignal.timeout(50) }));
    expect(queued).toMatchObject({ code: "RUN_ABORTED" });
    expect(opened.length).toBe(504);
    for (let n = 0; n < 515; n++) {
      await until("it is open", () => opened[n]);
      opened[n]!.opened().result();
    }
    await Promise.all(running);
    expect(opened.map(({ open }) => String(open.exec?.shell))).toEqual(
      Array.from({ length: 515 }, (_, n) => `${n}`),
    );
    expect(opened[514]!.received.join("")).toBe("in");
    await session.close();
  });
});

describe("a session whose guest is captured", () => {
  const TOKEN = Buffer.from("0123456789abcdef");
  const knows = (
    connection: { hello(message: object): void },
    hello: { nonce: Uint8Array },
    resumed: boolean,
  ) => {
    connection.hello({ version: 1, nonce: hello.nonce, agent: "fake", bootId: "fake-boot", resumed });
    return true;
  };

  test("goes on over another connection, with its streams, and nothing is lost or twice", async () => {
    let stream: FakeStream | undefined;
    await using guest = await FakeGuest.start({
      onHello: (connection, hello) => {
        expect(hello.resumes).toBe(true);
        return knows(connection, hello, hello.resume.length > 0);
      },
      onOpen: (opened) => {
        stream = opened.opened({ process: 1, pid: 2 });
      },
    });
    const session = await guest.connect();
    const command = spawnProcess(session, ["cat"]);
    await command.started;
    command.stdin.write("before ");
    await until("it is there", () => stream!.bytesReceived === 7);
    const [first] = guest.connections;
    stream!.data(1, "one ");
    first!.frame(0, FrameType.SUSPEND, 0, TOKEN);
    await until("the host parts", () => first!.sessionFrames.length === 1);
    expect(first!.sessionFrames[0]!.type).toBe(FrameType.SWITCH);
    command.stdin.write("between ");
    await until("it has come back", () => (guest.connections[1]?.sessionFrames.length ?? 0) > 0);
    const second = guest.connections[1]!;
    expect(Buffer.from(second.hellos[0]!.resume)).toEqual(TOKEN);
    expect(second.sessionFrames.map(({ type }) => type)).toEqual([FrameType.SWITCH]);
    expect(stream!.bytesReceived).toBe(7); // what was said in between is not for the first one
    second.streams.set(stream!.id, stream!);
    command.stdin.end("after");
    await until("all has come", () => stream!.saw(FrameType.END));
    second.frame(stream!.id, FrameType.DATA, 1, Buffer.from("two"));
    second.frame(stream!.id, FrameType.RESULT, 0);
    expect((await command.wait()).exitCode).toBe(0);
    let out = "";
    for await (const { data } of command) out += Buffer.from(data).toString();
    expect(out).toBe("one two");
    await session.close();
  });

  test("ends if the guest does not know it any more, if it says more than its last word, and if it is closed meanwhile", async () => {
    const lost = await guestThat(() => {}, {
      onHello: (connection, hello) => knows(connection, hello, false),
    });
    const run = failure(runCommand(lost.session, "x"));
    lost.connection.frame(0, FrameType.SUSPEND, 0, TOKEN);
    expect(await run).toMatchObject({ code: "OUTCOME_UNKNOWN", details: { sessionEnd: "lost" } });
    await lost.guest[Symbol.asyncDispose]();

    const talks = await guestThat(() => {}, {
      onHello: (connection, hello) => knows(connection, hello, true),
    });
    const cut = failure(runCommand(talks.session, "x"));
    talks.connection.send(
      Buffer.concat([encodeFrame(0, FrameType.SUSPEND, 0, TOKEN), encodeFrame(0, FrameType.PING, 0)]),
    );
    expect(await cut).toMatchObject({ code: "AGENT_PROTOCOL" });
    await talks.guest[Symbol.asyncDispose]();

    const away = await guestThat(() => {}, {
      onHello: (connection, hello) => hello.resume.length === 0 && knows(connection, hello, false),
    });
    away.connection.frame(0, FrameType.SUSPEND, 0, TOKEN);
    await until("it looks for another connection", () => away.guest.connections.length > 1);
    await away.session.close();
    expect((await away.session.ended).reason).toBe("closed");
    await away.guest[Symbol.asyncDispose]();
  });

  test("whose machine is gone ends at once", async () => {
    const { guest, session, connection } = await guestThat(() => {});
    guest.stop();
    connection.frame(0, FrameType.SUSPEND, 0, TOKEN);
    expect((await session.ended).reason).toBe("lost");
    await guest[Symbol.asyncDispose]();
  });
});
