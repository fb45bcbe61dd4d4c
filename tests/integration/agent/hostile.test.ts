import { once } from "node:events";
import { describe, expect, test } from "vitest";
import { GuestFiles } from "../../../src/agent/files/guest-files.ts";
import { forward } from "../../../src/agent/forward/forward.ts";
import { runCommand, spawnProcess } from "../../../src/agent/process/exec.ts";
import { listProcesses } from "../../../src/agent/process/process-list.ts";
import { encodeHeader, encodeWindow, FrameType } from "../../../src/agent/wire/frame.ts";
import { GuestErrorCode } from "../../../src/agent/wire/messages.ts";
import { FakeGuest, type FakeStream } from "../../fakes/fake-guest.ts";
import { scaled } from "../../helpers/speed.ts";
import { until } from "../../helpers/wait.ts";

/** Lies about frames, each told by a guest that was honest until then: they end the session and say why. */
const BROKEN: [string, (stream: FakeStream) => void, RegExp][] = [
  [
    "a length of 4 GiB",
    ({ connection, id }) => connection.send(encodeHeader(id, FrameType.DATA, 1, 0xffff_ffff)),
    /frame of 4294967295 bytes/,
  ],
  [
    "garbage",
    ({ connection }) => connection.send(Buffer.from("GET / HTTP/1.1\r\n\r\n")),
    /broke the agent protocol/,
  ],
  ["frame type 0", ({ connection }) => connection.send(Buffer.alloc(12)), /frame type 0/],
  [
    "a frame only hosts send",
    ({ connection, id }) => connection.frame(id, FrameType.OPEN, 0),
    /frame type 3 from the guest/,
  ],
  ["a second hello", ({ connection }) => connection.frame(0, FrameType.HELLO_ACK, 0), /second answer/],
  [
    "an unknown stream",
    ({ connection }) => connection.frame(999, FrameType.DATA, 1, Buffer.from("x")),
    /stream 999/,
  ],
  [
    "a stream of its own",
    ({ connection }) => connection.frame(2, FrameType.DATA, 1, Buffer.from("x")),
    /stream 2/,
  ],
  ["DATA before OPENED", (stream) => stream.data(1, "x"), /DATA before OPENED/],
  ["OPENED twice", (stream) => stream.opened().opened(), /OPENED/],
  ["DATA after END", (stream) => stream.opened().end(1).data(1, "x"), /DATA after END/],
  ["END twice", (stream) => stream.opened().end(2).end(2), /second END/],
  ["RESULT twice", (stream) => stream.opened().result().result(), /not open/],
  ["DATA after RESULT", (stream) => stream.opened().result().data(1, "x"), /not open/],
  [
    "DATA beyond its credit",
    ({ connection }) => connection.streams.get(1)!.opened().data(1, Buffer.alloc(262_145)),
    /beyond its credit/,
  ],
  [
    "credit beyond 2^31 - 1",
    (stream) =>
      stream
        .opened()
        .window(2 ** 31 - 1)
        .window(1),
    /credit above/,
  ],
  [
    "an empty WINDOW",
    ({ connection, id }) => connection.frame(id, FrameType.WINDOW, 0),
    /0 bytes in frame type 6/,
  ],
  [
    "a RESULT that is no message",
    ({ connection, id }) => connection.frame(id, FrameType.RESULT, 0, Buffer.from([0x0d, 0, 0])),
    /wire type 5/,
  ],
  [
    "a number beyond 2^53",
    ({ connection, id }) =>
      connection.frame(id, FrameType.RESULT, 0, Buffer.from("20ffffffffffffffff7f", "hex")),
    /2\^53/,
  ],
  [
    "a PONG that nobody asked for",
    ({ connection }) => connection.frame(0, FrameType.PONG, 0, Buffer.from("x")),
    /PONG/,
  ],
  ["PINGs without reading the answers", floodPings, /PINGs/],
];

function floodPings({ connection }: FakeStream): void {
  connection.socket.pause();
  const pings = Buffer.concat(
    Array.from({ length: 1000 }, () =>
      Buffer.concat([encodeHeader(0, FrameType.PING, 0, 64), Buffer.alloc(64)]),
    ),
  );
  const pump = (): void => {
    while (connection.socket.writable && connection.socket.write(pings));
  };
  connection.socket.on("drain", pump);
  pump();
}

describe("a guest that breaks the protocol", () => {
  test.each(BROKEN)("with %s is cut off", async (_name, lie, message) => {
    await using guest = await FakeGuest.start({
      onOpen: (stream) => {
        if (stream.open.exec?.argv[0]?.toString() === "lie") lie(stream);
      },
    });
    const session = await guest.connect();
    const bystander = spawnProcess(session, "sleep 100");
    await until("it was sent", () => guest.connections[0]!.streams.size === 1);
    // Some lies follow a good answer: then the command itself is fine.
    const told = await runCommand(session, ["lie"], { maxOutputBytes: Number.POSITIVE_INFINITY }).catch(
      (error) => error,
    );
    expect(await session.ended).toMatchObject({
      reason: "protocol",
      message: expect.stringMatching(message),
    });
    if (told instanceof Error) expect(told).toMatchObject({ code: "AGENT_PROTOCOL" });
    await expect(bystander.wait()).rejects.toMatchObject({ code: "AGENT_PROTOCOL" });
    await until("the host hung up", () => guest.connections[0]!.socket.destroyed);
    expect(() => session.open({} as never, {} as never)).toThrow(/broke the agent protocol/);
  });

  test("by never answering costs nothing but the limits that were set", async () => {
    await using guest = await FakeGuest.start({ onOpen: () => {} });
    const session = await guest.connect();
    const started = performance.now();
    const error = await runCommand(session, "x", { timeoutMs: 50 }).catch((reason) => reason);
    expect(error).toMatchObject({ code: "RUN_TIMEOUT", details: { killed: "unconfirmed" } });
    expect(error.message).toContain("did not confirm");
    // It answers PINGs, so it is given the time that a guest needs to see that all has ended (agent/process/kill-wait.ts).
    expect(performance.now() - started).toBeLessThan(scaled(25_000));
    await expect(new GuestFiles(async () => session).read("/a", { timeoutMs: 50 })).rejects.toMatchObject({
      code: "TIMEOUT",
    });
    await session.close();
  });

  test("by resetting a connection in the moment in which it is made ends that connection alone", async () => {
    await using guest = await FakeGuest.start({
      onOpen: (stream) => void stream.opened().result({ error: { code: GuestErrorCode.RESET } }),
    });
    const session = await guest.connect();
    const connection = await forward(session, { port: 80 });
    const failed = once(connection, "error");
    connection.resume();
    const [error] = await failed;
    expect(error).toMatchObject({ code: "CONNECTION_RESET" });
    await session.ping();
    await session.close();
  });

  test("by sending on after it was told to stop is not listened to", async () => {
    await using guest = await FakeGuest.start({
      onOpen: (stream) => {
        if (stream.open.exec === undefined) return;
        stream.opened().data(1, "before");
        stream.onFrame = (type) => {
          if (type === FrameType.RESET) stream.data(1, Buffer.alloc(900_000)).result({ error: { code: 11 } });
        };
      },
    });
    const session = await guest.connect();
    await expect(runCommand(session, "x", { timeoutMs: 50 })).rejects.toMatchObject({ code: "RUN_TIMEOUT" });
    await session.ping();
    await session.close();
  });

  test("by granting endless credit does not make the host buffer endless input", async () => {
    await using guest = await FakeGuest.start({ onOpen: (stream) => void stream.opened().window(2 ** 30) });
    const session = await guest.connect();
    guest.connections[0]!.socket.pause();
    let taken = 0;
    async function* endless(): AsyncGenerator<Uint8Array> {
      for (;;) {
        taken += 65_536;
        yield Buffer.alloc(65_536);
      }
    }
    await expect(runCommand(session, "x", { stdin: endless(), timeoutMs: 300 })).rejects.toThrow();
    expect(taken).toBeLessThan(4 * 1024 * 1024);
    await session.close();
  });

  test("by sending output byte by byte takes no more memory than the window", async () => {
    await using guest = await FakeGuest.start({
      onOpen: (stream) => {
        stream.opened();
        const one = Buffer.concat([encodeHeader(stream.id, FrameType.DATA, 1, 1), Buffer.from("x")]);
        const two = Buffer.concat([encodeHeader(stream.id, FrameType.DATA, 2, 1), Buffer.from("y")]);
        stream.connection.send(
          Buffer.concat(Array.from({ length: 262_144 }, () => Buffer.concat([one, two]))),
        );
      },
    });
    const session = await guest.connect();
    const process_ = spawnProcess(session, "x");
    await process_.started;
    const before = process.memoryUsage();
    await session.ping(); // everything before its answer has been read
    const after = process.memoryUsage();
    const grown = after.heapUsed + after.external - before.heapUsed - before.external;
    expect(grown).toBeLessThan(64 * 1024 * 1024); // garbage of the frames themselves included
    const seen = { stdout: 0, stderr: 0 };
    for await (const { stream, data } of process_) {
      seen[stream] += data.length;
      if (seen.stdout + seen.stderr === 2 * 262_144) break;
    }
    expect(seen).toEqual({ stdout: 262_144, stderr: 262_144 });
    await session.close();
  });

  test("by listing without end is stopped", async () => {
    await using guest = await FakeGuest.start({
      onOpen: (stream) => {
        const block = Buffer.alloc(
          500_000,
          Buffer.from(stream.open.list ? "040a026161" : "0408011001", "hex"),
        );
        if (stream.open.fileRead) stream.opened();
        const pump = (): void => {
          if (stream.saw(FrameType.RESET)) stream.result({ error: { code: 11 } });
          else stream.data(1, block);
        };
        stream.onFrame = pump; // a WINDOW of half of the credit, or the RESET
        pump();
        pump();
      },
    });
    const session = await guest.connect();
    const files = new GuestFiles(async () => session);
    await expect(files.list("/a")).rejects.toMatchObject({ code: "FILE_UNSAFE" });
    await expect(listProcesses(session)).rejects.toMatchObject({ message: /process list of more than/ });
    await expect(files.read("/a", { maxBytes: 3_000_000 })).rejects.toMatchObject({ code: "FILE_FAILED" });
    await session.close();
  }, 60_000);

  test.each<[string, number]>([
    ...["..", ".", "", "a/b", "/etc", "nul\0"].map((name): [string, number] => [name, 1]),
    ...["a/b/c", "a/..", "../a", "a//b", "/a", "a/"].map((name): [string, number] => [name, 2]),
  ])("by listing the name %j to a depth of %d is refused", async (name, depth) => {
    await using guest = await FakeGuest.start({
      onOpen: (stream) => {
        const path = Buffer.from(name);
        const record = Buffer.concat([
          Buffer.from([path.length + 4, 0x0a, path.length]),
          path,
          Buffer.from([0x10, 0x01]),
        ]);
        stream.data(1, record).result({ depth });
      },
    });
    const session = await guest.connect();
    await expect(new GuestFiles(async () => session).list("/", { depth })).rejects.toMatchObject({
      code: "FILE_UNSAFE",
    });
    await session.close();
  });

  test("whose agent is older, and lists one level only, is told so", async () => {
    await using guest = await FakeGuest.start();
    const session = await guest.connect();
    const files = new GuestFiles(async () => session);
    expect(await files.list("/a")).toEqual([]);
    await expect(files.list("/a", { depth: 2 })).rejects.toMatchObject({
      code: "NOT_SUPPORTED",
      hint: expect.stringContaining("create the sandbox again"),
    });
    await session.close();
  });

  test("with answers that lack what was asked for is told so", async () => {
    await using guest = await FakeGuest.start(); // every answer is an empty RESULT
    const session = await guest.connect();
    const files = new GuestFiles(async () => session);
    await expect(files.stat("/a")).rejects.toMatchObject({ code: "AGENT_PROTOCOL" });
    await expect(files.read("/a")).rejects.toMatchObject({ code: "AGENT_PROTOCOL" });
    await expect(files.readStream("/a")).rejects.toMatchObject({ code: "AGENT_PROTOCOL" });
    await expect(forward(session, { port: 80 })).rejects.toMatchObject({ code: "AGENT_PROTOCOL" });
    await session.close();
  });

  test("with errors full of escapes shows them escaped", async () => {
    await using guest = await FakeGuest.start({
      onOpen: (stream) =>
        void stream.result({
          error: { code: 77, message: `\x1b]0;evil\x07\u202e${"x".repeat(9999)}`, errno: 5 },
        }),
    });
    const session = await guest.connect();
    const error = await runCommand(session, "x").catch((reason) => reason);
    expect(error).toMatchObject({ code: "FILE_FAILED", details: { guestCode: 77, errno: "EIO" } });
    expect(error.message).toContain("\\x1b]0;evil\\x07\\u202e");
    expect(error.message.length).toBeLessThan(500);
    await session.close();
  });

  test("with exit codes and signals that no process has still gives a plausible end", async () => {
    await using guest = await FakeGuest.start({
      onOpen: (stream) =>
        void stream
          .opened()
          .result(
            stream.open.exec?.shell.toString() === "signal"
              ? { signal: 4_000_000_000 }
              : { exitCode: 4_294_967_295 },
          ),
    });
    const session = await guest.connect();
    expect((await runCommand(session, "exit")).exitCode).toBe(255);
    expect((await runCommand(session, "signal")).exitCode).toBeLessThanOrEqual(255);
    await session.close();
  });

  test("may give credit for a stream that has ended on the host's side only while it is open", async () => {
    await using guest = await FakeGuest.start({
      onOpen: (stream) => {
        stream.opened().result();
        stream.connection.send(encodeWindow(stream.id, 0, 1));
      },
    });
    const session = await guest.connect();
    await runCommand(session, "x");
    expect(await session.ended).toMatchObject({ reason: "protocol" });
  });
});
