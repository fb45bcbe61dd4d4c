import { mkdtempSync, rmSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { runCommand, spawnProcess } from "../../../src/agent/process/exec.ts";
import { relay } from "../../../src/agent/relay/relay.ts";
import { AgentSession } from "../../../src/agent/session/session.ts";
import { encodeFrame, encodeWindow, FrameType } from "../../../src/agent/wire/frame.ts";
import { encodeHello } from "../../../src/agent/wire/hello.ts";
import { Open } from "../../../src/agent/wire/messages.ts";
import { encode } from "../../../src/agent/wire/schema.ts";
import { Deadline } from "../../../src/util/deadline.ts";
import { type Behaviour, FakeGuest, type FakeStream } from "../../fakes/fake-guest.ts";
import { until } from "../../helpers/wait.ts";

// The relay in front of a fake guest that can lie; tests/contract/sharing.test.ts has it in front of real ones.

/** A fake guest, one session with it, and a relay that lets any number of clients share that session. */
async function relayed(behaviour: Partial<Behaviour>) {
  const guest = await FakeGuest.start(behaviour);
  const upstream = await guest.connect();
  const directory = mkdtempSync(join(tmpdir(), "smolvm-relay-"));
  const path = join(directory, "relay.sock");
  const server = createServer({ pauseOnConnect: true }, (socket) => void relay(socket, upstream));
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return {
    guest,
    upstream,
    connect: () =>
      AgentSession.connect(
        { kind: "unix", path },
        { deadline: Deadline.of("connecting to the relay", { timeoutMs: 10_000 }), fresh: true },
      ),
    path,
    async [Symbol.asyncDispose]() {
      server.close();
      await upstream.close();
      await guest[Symbol.asyncDispose]();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

const commandOf = (stream: FakeStream): string => Buffer.from(stream.open.exec?.shell ?? "").toString();

/** Echoes a command's text as its output. */
const echo = (stream: FakeStream): void => {
  stream.opened({ pid: 7 }).data(1, commandOf(stream)).result();
};

test("clients with the same stream numbers get their own answers, over one session of the guest", async () => {
  await using relaying = await relayed({ onOpen: echo });
  const clients = await Promise.all(Array.from({ length: 5 }, () => relaying.connect()));
  const runs = clients.flatMap((client, i) =>
    [1, 2, 3].map(async (n) => (await runCommand(client, `client ${i} command ${n}`)).stdout),
  );
  const expected = clients.flatMap((_, i) => [1, 2, 3].map((n) => `client ${i} command ${n}`));
  expect(await Promise.all(runs)).toEqual(expected);
  expect(relaying.guest.connections).toHaveLength(1);
  expect(clients[0]!.hello).toMatchObject({ version: 1, agent: "fake", bootId: "fake-boot" });
});

test("a request of many frames, its input, its control frames and its signals arrive whole", async () => {
  const seen: FakeStream[] = [];
  await using relaying = await relayed({
    onOpen: (stream) => {
      seen.push(stream);
      if (stream.open.processSignal !== undefined) {
        stream.result();
        return;
      }
      stream.opened({ process: 5, pid: 7 });
      stream.onFrame = (type) => {
        if (type === FrameType.END) stream.result();
      };
    },
  });
  const client = await relaying.connect();
  const long = "x".repeat(300_000);
  const child = spawnProcess(client, long, { pty: { cols: 80, rows: 24 } });
  await until("the request has arrived", () => seen.length === 1);
  expect(commandOf(seen[0]!)).toBe(long);
  expect(await child.kill("SIGUSR1")).toBe(true);
  expect(seen[1]!.open.processSignal).toMatchObject({ process: 5, signal: 10, tree: false });
  await child.resize({ cols: 100, rows: 30 });
  child.stdin.end(Buffer.alloc(60_000, 7));
  await child.wait();
  expect(seen[0]!.bytesReceived).toBe(60_000);
  expect(seen[0]!.saw(FrameType.CONTROL)).toBe(true);
});

test("when a client goes, its requests are stopped and the others go on", async () => {
  const seen: FakeStream[] = [];
  await using relaying = await relayed({ onOpen: (stream) => void seen.push(stream.opened({ pid: 7 })) });
  const [leaving, staying] = [await relaying.connect(), await relaying.connect()];
  const left = runCommand(leaving, "left").catch((error) => error);
  const stayed = runCommand(staying, "stayed");
  await until("both have arrived", () => seen.length === 2);
  await leaving.close();
  expect(await left).toMatchObject({ code: "OUTCOME_UNKNOWN" });
  const stream = (name: string): FakeStream => seen.find((one) => commandOf(one) === name)!;
  await until("the guest is told", () => stream("left").saw(FrameType.RESET));
  stream("left").data(1, "too late").result();
  stream("stayed").data(1, "ok").result();
  expect((await stayed).stdout).toBe("ok");
  expect(stream("stayed").saw(FrameType.RESET)).toBe(false);
});

test("more requests than a session may have wait in order, whichever client they are of", async () => {
  const seen: FakeStream[] = [];
  await using relaying = await relayed({ onOpen: (stream) => void seen.push(stream.opened({ pid: 7 })) });
  const clients = await Promise.all([relaying.connect(), relaying.connect()]);
  const runs = clients.flatMap((client) =>
    Array.from({ length: 300 }, (_, i) => runCommand(client, String(i))),
  );
  await until("the session is full", () => seen.length === 504);
  for (let i = 0; i < 600; i++) {
    await until("the next one has come", () => seen.length > i);
    seen[i]!.data(1, commandOf(seen[i]!)).result();
  }
  const outputs = (await Promise.all(runs)).map(({ stdout }) => stdout);
  expect(outputs).toEqual([...Array(2)].flatMap(() => Array.from({ length: 300 }, (_, i) => String(i))));
});

test("a guest that sends more than a client granted is cut off, whether the client reads or not", async () => {
  await using relaying = await relayed({
    onOpen: (stream) => void stream.opened({ pid: 7 }).data(1, Buffer.alloc(1_001)),
  });
  const stopped = connect({ path: relaying.path });
  const open = encode(Open, { exec: { shell: Buffer.from("flood") }, window: 1_000 });
  stopped.write(
    Buffer.concat([encodeHello(Buffer.alloc(16, 1), "stopped"), encodeFrame(1, FrameType.OPEN, 0, open)]),
  );
  expect(await relaying.upstream.ended).toMatchObject({
    reason: "protocol",
    message: expect.stringContaining("beyond its credit"),
  });
  stopped.destroy();
});

test("frames that need no credit pile up only so far for a client that does not read: then it is cut off alone", async () => {
  let flooding: FakeStream | undefined;
  await using relaying = await relayed({
    onOpen: (stream) => {
      if (commandOf(stream) === "other") echo(stream);
      else flooding = stream.opened({ pid: 7 });
    },
  });
  const other = await relaying.connect();
  const open = encode(Open, { exec: { shell: Buffer.from("stopped") } });
  const stopped = connect({ path: relaying.path });
  stopped.write(
    Buffer.concat([encodeHello(Buffer.alloc(16, 1), "stopped"), encodeFrame(1, FrameType.OPEN, 0, open)]),
  );
  await until("its request has arrived", () => flooding !== undefined);

  const window = encodeWindow(flooding!.id, 0, 0);
  const batch = Buffer.concat(Array.from({ length: 20_000 }, () => window));
  for (let sent = 0; sent < 40 && !flooding!.saw(FrameType.RESET); sent++) {
    flooding!.connection.send(batch);
    expect((await runCommand(other, "other")).stdout).toBe("other");
  }
  expect(flooding!.saw(FrameType.RESET)).toBe(true);
  stopped.destroy();
});

test("a client that breaks the protocol is cut off alone", async () => {
  await using relaying = await relayed({ onOpen: echo });
  const good = await relaying.connect();
  for (const bytes of [
    Buffer.from("GET / HTTP/1.1\r\n\r\n"),
    Buffer.concat([
      encodeHello(Buffer.alloc(16, 1), "bad"),
      Buffer.from("00000000030000000300000000", "hex").fill(0xee),
    ]),
  ]) {
    const socket = connect({ path: relaying.path });
    const closed = new Promise((resolve) => socket.once("close", resolve));
    socket.on("error", () => {});
    socket.resume();
    socket.write(bytes);
    await closed;
  }
  expect((await runCommand(good, "still here")).stdout).toBe("still here");
});

test("a stop that the guest announces reaches the clients as one", async () => {
  await using relaying = await relayed({
    onOpen: (stream) => {
      stream.opened({ pid: 7 });
      stream.connection.goodbye("shutdown");
    },
  });
  const client = await relaying.connect();
  const lost = runCommand(client, "anything").catch((error) => error);
  expect(await client.ended).toMatchObject({ reason: "goodbye" });
  expect(await lost).toMatchObject({ code: "OUTCOME_UNKNOWN", message: expect.stringContaining("stopped") });
});
