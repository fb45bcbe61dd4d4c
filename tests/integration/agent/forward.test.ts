import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { expose } from "../../../src/agent/forward/expose.ts";
import { forward } from "../../../src/agent/forward/forward.ts";
import { relay } from "../../../src/agent/relay/relay.ts";
import { AgentSession } from "../../../src/agent/session/session.ts";
import { FrameType, INITIAL_CREDIT } from "../../../src/agent/wire/frame.ts";
import { Deadline } from "../../../src/util/deadline.ts";
import { FakeGuest, type FakeStream } from "../../fakes/fake-guest.ts";
import { agentMissing, type LocalAgent, startAgent } from "../../helpers/agent.ts";
import { NOBODY } from "../../helpers/ordinary-user.ts";
import { until } from "../../helpers/wait.ts";

const missing = agentMissing();
if (missing) console.warn(`skipped: ${missing}`);

async function read(stream: AsyncIterable<unknown>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

describe.skipIf(missing)("a connection into the guest", () => {
  let agent: LocalAgent;
  let session: AgentSession;
  /** "in the guest": answers with what it got when that has ended, or as a sink or source */
  let server: Server;
  let port: number;
  const sockets = new Set<Socket>();
  let serve: (socket: Socket) => void;

  beforeAll(async () => {
    agent = await startAgent();
    session = await agent.connect();
    server = createServer({ allowHalfOpen: true }, (socket) => {
      sockets.add(socket);
      socket.on("error", () => {}).once("close", () => sockets.delete(socket));
      serve(socket);
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    ({ port } = server.address() as AddressInfo);
  });
  afterAll(async () => {
    for (const socket of sockets) socket.destroy();
    server.close();
    await session.close();
    await agent.stop();
  });
  const echoAtEnd = async (socket: Socket): Promise<void> => void socket.end(await read(socket));

  test("carries bytes both ways, and each direction ends on its own", async () => {
    serve = echoAtEnd;
    const connection = await forward(session, { port });
    const sent = Buffer.alloc(3_000_000, "0123456789");
    connection.end(sent);
    expect((await read(connection)).equals(sent)).toBe(true);
    await until("it is over", () => sockets.size === 0);
  });

  test("ends when the guest's server ends it together with its last bytes, every time", async () => {
    serve = (socket) => socket.once("data", (chunk) => socket.end(chunk));
    for (let i = 0; i < 100; i++) {
      const connection = await forward(session, { port });
      connection.write(`hello ${i}`);
      expect((await read(connection)).toString()).toBe(`hello ${i}`);
      connection.end();
    }
  });

  test("delivers all that was sent also to a server that ended its own direction first and reads late", async () => {
    const streams: FakeStream[] = [];
    await using guest = await FakeGuest.start({
      onOpen: (stream) => void streams.push(stream.opened().data(1, "bye").end(1)),
    });
    const fake = await guest.connect();
    const exposed = await expose(async () => fake, 80);
    const client = connect({ port: exposed.hostPort, host: "127.0.0.1", allowHalfOpen: true });
    expect((await read(client)).toString()).toBe("bye");
    client.end(Buffer.alloc(100_000, "x"));
    await once(client, "close");
    const stream = streams[0]!;
    await until("the credit is used up", () => stream.bytesReceived === INITIAL_CREDIT);
    await fake.ping(); // what the host had to say by then has come
    stream.window(100_000);
    await until("the rest has come, and the end", () => stream.saw(FrameType.END));
    expect(stream.bytesReceived).toBe(100_000);
    stream.result();
    await until("it is over", () => fake.idle);
    expect(stream.saw(FrameType.RESET)).toBe(false);
    await exposed.close();
    await fake.close();
  });

  test("can be ended by the guest first", async () => {
    let got: Promise<Buffer> | undefined;
    serve = (socket) => {
      socket.end("bye");
      got = read(socket);
    };
    const connection = await forward(session, { port, host: "localhost" });
    expect((await read(connection)).toString()).toBe("bye");
    connection.end("still here");
    expect(String(await got)).toBe("still here");
  });

  test("goes to a Unix socket as well", async () => {
    serve = echoAtEnd;
    const path = join(agent.directory, "server.sock");
    const unix = createServer({ allowHalfOpen: true }, echoAtEnd).listen(path);
    await once(unix, "listening");
    const connection = await forward(session, { unix: path });
    connection.end("hello");
    expect((await read(connection)).toString()).toBe("hello");
    unix.close();
    await expect(forward(session, { unix: "/no/such/socket" })).rejects.toMatchObject({
      code: "FILE_NOT_FOUND",
    });
  });

  test("where nothing listens is refused, and impossible ones are not tried", async () => {
    await expect(forward(session, { port: 1 })).rejects.toMatchObject({
      code: "CONNECTION_REFUSED",
      message: expect.stringMatching(/^connecting to port 1 in the sandbox failed/),
    });
    for (const target of [
      { port: 0 },
      { port: 65_536 },
      { port: 1.5 },
      { port: 80, host: "" },
      { unix: "/\0" },
    ]) {
      await expect(forward(session, target)).rejects.toMatchObject({ code: "CONFIG_INVALID" });
    }
  });

  test("that nobody reads waits, and holds back nobody else", async () => {
    let written = 0;
    serve = (socket) => {
      const piece = Buffer.alloc(65_536);
      const pump = (): void => {
        while (socket.writable && socket.write(piece)) written += piece.length;
      };
      socket.on("drain", pump);
      pump();
    };
    const unread = await forward(session, { port });
    let before = -1;
    await until("the source stands still", async () => {
      const still = written === before;
      before = written;
      await session.ping();
      await new Promise((resolve) => setTimeout(resolve, 50));
      return still;
    });
    expect(written).toBeLessThan(32 * 1024 * 1024);
    unread.destroy();
    await until("the guest's end is closed", () => sockets.size === 0);
  });

  test("is closed when it is destroyed, and fails when the session ends", async () => {
    serve = (socket) => void socket.resume().on("end", () => socket.end());
    const destroyed = await forward(session, { port });
    destroyed.destroy();
    await until("the guest's end is closed", () => sockets.size === 0);
    const other = await agent.connect();
    const cut = await forward(other, { port });
    const failed = once(cut, "error");
    await other.close();
    expect((await failed)[0]).toMatchObject({ code: "AGENT_LOST" });
  });

  test("keeps to its deadline", async () => {
    await using guest = await FakeGuest.start({ onOpen: () => {} });
    const silent = await guest.connect();
    const deadline = Deadline.of("connecting", { timeoutMs: 50 });
    await expect(forward(silent, { port: 80 }, { deadline })).rejects.toMatchObject({ code: "TIMEOUT" });
    await silent.close();
  });

  describe.each(["straight", "by a relay"])("%s, that is reset", (way) => {
    let direct: AgentSession;
    let relaying: Server;
    /** a new session with the agent */
    let dial: () => Promise<AgentSession>;
    let session: AgentSession;
    beforeAll(async () => {
      direct = await agent.connect();
      const path = join(agent.directory, "relay.sock");
      relaying = createServer({ pauseOnConnect: true }, (socket) => void relay(socket, direct)).listen(path);
      await once(relaying, "listening");
      const deadline = Deadline.of("connecting to the relay");
      dial = () =>
        way === "straight"
          ? agent.connect()
          : AgentSession.connect({ kind: "unix", path }, { deadline, fresh: true });
      session = await dial();
    });
    afterAll(async () => {
      await session.close();
      relaying.close();
      await direct.close();
    });

    test("by the guest's server fails with its last bytes read, and is no end", async () => {
      serve = (socket) => void socket.write("half of it", () => socket.resetAndDestroy());
      const connection = await forward(session, { port });
      let got = "";
      connection.on("data", (chunk) => {
        got += chunk;
      });
      const ended = vi.fn();
      connection.on("end", ended);
      const [error] = await once(connection, "error");
      expect(error).toMatchObject({ code: "CONNECTION_RESET" });
      expect(error.message).toMatch(
        /^the connection to port \d+ in the sandbox failed: the server in the guest reset it$/,
      );
      expect(ended).not.toHaveBeenCalled();
      expect(got).toBe("half of it");
    });

    test("by the guest's server while nobody reads fails when somebody does", async () => {
      serve = (socket) => void socket.write("unread", () => socket.resetAndDestroy());
      const connection = await forward(session, { port });
      await until("the server is gone", () => sockets.size === 0);
      await session.ping();
      await expect(read(connection)).rejects.toMatchObject({ code: "CONNECTION_RESET" });
    });

    test("by a server that closes without having read all that it was sent fails as well", async () => {
      let accepted: Socket | undefined;
      serve = (socket) => {
        accepted = socket.pause();
      };
      const connection = await forward(session, { port });
      await new Promise((resolve) => connection.write(Buffer.alloc(500_000), resolve));
      await session.ping(); // the agent has passed on what fits: more than Node reads unasked
      await until("the server has it", () => accepted !== undefined);
      accepted!.destroy();
      await expect(read(connection)).rejects.toMatchObject({ code: "CONNECTION_RESET" });
    });

    test("after the server's end tells the host, which still sends", async () => {
      serve = (socket) => void socket.resume().end("bye", () => socket.destroy());
      const connection = await forward(session, { port });
      const failed = once(connection, "error");
      expect((await read(connection)).toString()).toBe("bye");
      const sending = setInterval(() => connection.write("anybody there?"), 5);
      expect((await failed)[0]).toMatchObject({ code: "CONNECTION_RESET" });
      clearInterval(sending);
    });

    /** How the next connection ends for the guest's server: an error's code, or "end". */
    const nextEnd = (): Promise<string> =>
      new Promise((resolve) => {
        serve = (socket) =>
          void socket
            .resume()
            .on("end", () => resolve("end"))
            .on("end", () => socket.end())
            .on("error", (error: NodeJS.ErrnoException) => resolve(String(error.code)));
      });

    test("by the host, with an error, is reset for the guest's server", async () => {
      const end = nextEnd();
      const connection = await forward(session, { port });
      connection.on("error", () => {}).write("half of it");
      connection.destroy(new Error("given up"));
      expect(await end).toBe("ECONNRESET");
    });

    test("is one whose session ends, and not one that is destroyed when all was sent", async () => {
      const lost = nextEnd();
      const other = await dial();
      const cut = await forward(other, { port });
      cut.on("error", () => {}).write("half of it");
      await other.ping();
      await other.close();
      expect(await lost).toBe("ECONNRESET");

      const closed = nextEnd();
      const connection = await forward(session, { port });
      connection.write("all of it");
      await session.ping();
      connection.destroy();
      expect(await closed).toBe("end");
    });

    test("is one that is destroyed before all was taken", async () => {
      let accepted: Socket | undefined;
      serve = (socket) => {
        accepted = socket.pause();
      };
      const connection = await forward(session, { port });
      await until("the server has it", () => accepted !== undefined);
      connection.on("error", () => {}).write(Buffer.alloc(64 * 1024 * 1024)); // more than all buffers on its way
      await session.ping();
      connection.destroy();
      const [error] = await once(accepted!.resume(), "error");
      expect(error).toMatchObject({ code: "ECONNRESET" });
    });
  });

  describe("through an exposed port", () => {
    const talk = async (to: number, text: string): Promise<string> => {
      const socket = connect({ port: to, host: "127.0.0.1", allowHalfOpen: true });
      socket.end(text);
      return (await read(socket)).toString();
    };

    test("works for many at once, until it is closed", async () => {
      serve = echoAtEnd;
      const exposed = await expose(async () => session, port);
      expect(exposed).toMatchObject({ guestPort: port, hostAddress: "127.0.0.1" });
      expect(exposed.url).toBe(`http://127.0.0.1:${exposed.hostPort}`);
      const texts = Array.from({ length: 30 }, (_, n) => `${n}`.repeat(n * 1000 + 1));
      expect(await Promise.all(texts.map((text) => talk(exposed.hostPort, text)))).toEqual(texts);
      serve = () => {};
      const open = connect(exposed.hostPort, "127.0.0.1");
      await once(open, "connect");
      const cut = once(open, "error");
      await exposed.close();
      await exposed.close();
      expect((await cut)[0]).toMatchObject({ code: "ECONNRESET" });
      await expect(talk(exposed.hostPort, "x")).rejects.toMatchObject({ code: "ECONNREFUSED" });
    });

    test("is reset both ways, and each direction still ends on its own", async () => {
      const exposed = await expose(async () => session, port);
      const dial = (): Socket => connect({ port: exposed.hostPort, host: "127.0.0.1", allowHalfOpen: true });

      serve = (socket) => void socket.write("half of it", () => socket.resetAndDestroy());
      const cut = dial();
      let got = "";
      cut.on("data", (chunk) => {
        got += chunk;
      });
      expect((await once(cut, "error"))[0]).toMatchObject({ code: "ECONNRESET" });
      expect(got).toBe("half of it");

      const told = new Promise<string>((resolve) => {
        serve = (socket) =>
          void socket
            .resume()
            .on("end", () => resolve("end"))
            .on("error", (error: NodeJS.ErrnoException) => resolve(String(error.code)));
      });
      const rude = dial();
      rude.write("half of it", () => rude.resetAndDestroy());
      expect(await told).toBe("ECONNRESET");

      let rest: Promise<Buffer> | undefined;
      serve = (socket) => {
        socket.end("bye");
        rest = read(socket);
      };
      const polite = dial();
      expect((await read(polite)).toString()).toBe("bye");
      polite.end("still here");
      expect(String(await rest)).toBe("still here");
      await exposed.close();
    });

    test("is reset for both when the port is closed under it", async () => {
      const exposed = await expose(async () => session, port);
      const accepted = new Promise<Socket>((resolve) => {
        serve = (socket) => void socket.write("half of it", () => resolve(socket.resume()));
      });
      const client = connect({ port: exposed.hostPort, host: "127.0.0.1" });
      await once(client, "data");
      const ends = [once(client, "error"), once(await accepted, "error")];
      await exposed.close();
      for (const [error] of await Promise.all(ends)) expect(error).toMatchObject({ code: "ECONNRESET" });
    });

    test("is reset where the guest refuses", async () => {
      const exposed = await expose(async () => session, 1);
      await expect(talk(exposed.hostPort, "x")).rejects.toMatchObject({ code: "ECONNRESET" });
      await exposed.close();
    });

    test("at a port of the system's is refused to an ordinary user, with what to do", async () => {
      const own = process.geteuid?.();
      if (own === 0) process.seteuid!(NOBODY);
      try {
        await expect(expose(async () => session, 80, { hostPort: 80 })).rejects.toMatchObject({
          code: "HOST_FAILED",
          message: "this user may not listen on port 80",
          hint: "Choose a host port of 1024 or above.",
        });
      } finally {
        if (own === 0) process.seteuid!(0);
      }
    });

    test("at an address of IPv6 too", async () => {
      const exposed = await expose(async () => session, port, { hostAddress: "::1" });
      expect(exposed.url).toBe(`http://[::1]:${exposed.hostPort}`);
      await exposed.close();
    });

    test("needs a free port and an address of this machine", async () => {
      await expect(expose(async () => session, 80, { hostPort: port })).rejects.toMatchObject({
        code: "PORT_IN_USE",
        hint: expect.stringMatching(/another host port/),
      });
      await expect(expose(async () => session, 80, { hostAddress: "192.0.2.1" })).rejects.toMatchObject({
        code: "CONFIG_INVALID",
        message: "'192.0.2.1' is not an address of this machine",
      });
      for (const hostAddress of ["localhost", "1.2.3", "[::1]", ""])
        await expect(expose(async () => session, 80, { hostAddress })).rejects.toMatchObject({
          code: "CONFIG_INVALID",
          message: expect.stringContaining("is not an IP address"),
        });
      for (const [guestPort, hostPort] of [
        [0, 80],
        [70_000, 80],
        [80, -1],
        [80, 70_000],
      ] as const) {
        await expect(expose(async () => session, guestPort, { hostPort })).rejects.toMatchObject({
          code: "CONFIG_INVALID",
        });
      }
    });
  });
});
