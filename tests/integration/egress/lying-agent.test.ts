import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { bring } from "../../../src/agent/door/bring.ts";
import { serveDoor } from "../../../src/agent/door/door.ts";
import type { Served } from "../../../src/agent/door/knocks.ts";
import type { AgentSession } from "../../../src/agent/session/session.ts";
import { FrameType } from "../../../src/agent/wire/frame.ts";
import { DoorConnection, GuestErrorCode, Result } from "../../../src/agent/wire/messages.ts";
import { encodeRecord } from "../../../src/agent/wire/records.ts";
import { type Draft, encode } from "../../../src/agent/wire/schema.ts";
import type { NetworkPolicy } from "../../../src/config/network-rules.ts";
import { Broker } from "../../../src/egress/broker.ts";
import type { NetworkEvent } from "../../../src/egress/event.ts";
import { NameResolver } from "../../../src/egress/resolve.ts";
import { ownNetworks } from "../../../src/host/own-networks.ts";
import { ipOfBytes } from "../../../src/util/ip-address.ts";
import { FakeGuest, type FakeStream } from "../../fakes/fake-guest.ts";
import {
  type NameServer,
  nameServer,
  ownLoopback,
  serve,
  type TestServer,
} from "../../helpers/small-internet.ts";
import { until } from "../../helpers/wait.ts";

const here = ownLoopback();
let dns: NameServer;
let server: TestServer;
beforeAll(async () => {
  dns = await nameServer({ "good.test": [here], "evil.test": [here], "2130706433": [here] });
  server = await serve(here, (socket) => socket.end("hello"));
});
afterAll(() => {
  server.close();
  dns.close();
});

/** A guest whose agent says of connections what it likes, and a host that serves its door. */
class Liar implements AsyncDisposable {
  readonly events: NetworkEvent[] = [];
  readonly accepts: FakeStream[] = [];
  /** on which the host waits for the next connections */
  readonly ahead: FakeStream[] = [];
  policy: NetworkPolicy = { allow: ["good.test", "*", here], deny: ["evil.test"] };
  guest!: FakeGuest;
  session!: AgentSession;
  door!: FakeStream;
  broker!: Broker;
  ended: unknown = "not yet";
  /** names are looked up when this is over */
  resolving: Promise<void> = Promise.resolve();

  /** @param onAccept what it does when the host takes a connection up; default: it hands it over */
  static async start(
    onAccept: (stream: FakeStream) => void = (stream) => stream.opened(),
    olderAgent = false,
  ): Promise<Liar> {
    const liar = new Liar();
    liar.guest = await FakeGuest.start({
      onOpen: (stream) => {
        if (stream.open.door !== undefined) liar.door = stream.opened();
        else if (stream.open.doorAccept?.next) {
          liar.ahead.push(stream);
          stream.onFrame = (type) => {
            if (type === FrameType.RESET) stream.result({ error: { code: GuestErrorCode.CANCELLED } });
          };
          if (olderAgent) stream.result({ error: { code: GuestErrorCode.NOT_FOUND } });
        } else if (stream.open.doorAccept !== undefined) {
          liar.accepts.push(stream);
          stream.onFrame = (type) => {
            if (type === FrameType.RESET) stream.result({ error: { code: GuestErrorCode.CANCELLED } });
          };
          onAccept(stream);
        } else stream.result();
      },
    });
    const session = await liar.guest.connect();
    liar.session = session;
    const resolver = new NameResolver(dns.address);
    liar.broker = new Broker({
      rateLimitMbps: undefined,
      policy: () => liar.policy,
      resolve: (name) => liar.resolving.then(() => resolver.resolve(name)),
      ownNetworks,
      report: (event) => liar.events.push(event),
      overrun: () => door.close(),
    });
    const door: Served = await serveDoor(session, ({ address, ...knock }) =>
      liar.broker.handle({ ...knock, address: address && ipOfBytes(address) }),
    );
    void door.ended.then((reason) => {
      liar.ended = reason;
      liar.broker.close();
    });
    return liar;
  }

  /** Where no port is said, it is the server's. */
  tell(...connections: Draft<DoorConnection>[]): void {
    const { port } = server;
    this.door.data(
      1,
      Buffer.concat(connections.map((one) => encodeRecord(encode(DoorConnection, { port, ...one })))),
    );
  }

  /** Hands one over, on the stream that has waited longest. Where no port is said, it is the server's. */
  async hand(connection: Draft<DoorConnection> | undefined): Promise<FakeStream> {
    await until("a stream waits", () => this.ahead.length > this.#handed);
    const stream = this.ahead[this.#handed++]!;
    return stream.opened({ connection: connection && { port: server.port, ...connection } });
  }
  #handed = 0;

  async [Symbol.asyncDispose](): Promise<void> {
    this.broker.close();
    await this.guest[Symbol.asyncDispose]();
  }
}

describe("an agent that lies", () => {
  let liar: Liar;
  afterEach(async () => {
    await liar[Symbol.asyncDispose]();
  });
  const name = (text: string): Draft<DoorConnection> => ({
    connection: 1,
    name: Buffer.from(text, "latin1"),
  });
  const address = (...octets: number[]): Draft<DoorConnection> => ({
    connection: 1,
    address: Buffer.from(octets),
  });

  test("gets what is allowed, like any other", async () => {
    liar = await Liar.start();
    liar.tell(name("Good.Test."));
    await until("it is connected", () => liar.accepts[0]?.saw(FrameType.END));
    expect(liar.events).toMatchObject([{ decision: "allowed", name: "good.test", address: here }]);
  });

  const lies: [string, Draft<DoorConnection>, string][] = [
    ["a denied name", name("evil.test"), "denied"],
    ["a denied name in other letters", name("EVIL.test."), "denied"],
    ["an address as name", name("127.0.0.1"), "not-a-name"],
    ["an address as a number", name("2130706433"), "not-a-name"],
    ["an address in hex", name("0x7f000001"), "not-a-name"],
    ["an address in octal", name("0177.0.0.1"), "not-a-name"],
    ["an address cut short", name("127.1"), "not-a-name"],
    ["an address of IPv6 as name", name("::1"), "not-a-name"],
    ["a name with a NUL behind it", name("good.test\0.evil.test"), "not-a-name"],
    ["a name with a slash", name("good.test/../evil.test"), "not-a-name"],
    ["a name with a space", name("good.test evil.test"), "not-a-name"],
    ["a name with a new line", name("good.test\nevil.test"), "not-a-name"],
    ["a name that is no ASCII", name("g\xf6od.test"), "not-a-name"],
    ["a name that is too long", name(`${"a.".repeat(126)}test`), "not-a-name"],
    ["a name of 60,000 characters", name("a".repeat(60_000)), "not-a-name"],
    ["a wildcard", name("*.test"), "not-a-name"],
    ["no name and no address", { connection: 1 }, "not-a-name"],
    ["an address of 5 octets", address(1, 2, 3, 4, 5), "not-a-name"],
    ["this host's loopback", address(127, 0, 0, 1), "special-purpose"],
    [
      "that, mapped to IPv6",
      address(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 127, 0, 0, 1),
      "special-purpose",
    ],
    [
      "that, translated",
      address(0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, 127, 0, 0, 1),
      "special-purpose",
    ],
    ["that, as 6to4", address(0x20, 2, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1), "special-purpose"],
    ["all addresses of this host", address(0, 0, 0, 0), "special-purpose"],
    ["all addresses of this host, of IPv6", address(...new Array<number>(16).fill(0)), "special-purpose"],
    ["a cloud's metadata", address(169, 254, 169, 254), "metadata"],
  ];
  test.each(
    lies.flatMap(([what, lie, reason]) =>
      ["told", "handed over"].map((how) => [what, how, lie, reason] as const),
    ),
  )("of %s (%s) gets nothing, and nothing is dialled or looked up", async (_what, how, told, reason) => {
    liar = await Liar.start();
    const [connections, asked] = [server.count(), dns.asked.length];
    if (how === "told") liar.tell(told);
    const stream = how === "told" ? undefined : await liar.hand(told);
    await until("it is refused", () => (stream ?? liar.accepts[0])?.saw(FrameType.RESET));
    expect(liar.events).toMatchObject([{ decision: "denied", reason }]);
    expect(JSON.stringify(liar.events).length).toBeLessThan(2_000);
    expect([server.count(), dns.asked.length]).toEqual([connections, asked]);
  });

  test("hands over what is allowed: it is connected, and what it has sent at once is carried", async () => {
    liar = await Liar.start();
    const got: string[] = [];
    const echo = await serve(here, (socket) => socket.on("data", (chunk) => got.push(String(chunk))));
    const stream = await liar.hand({ ...name("good.test"), port: echo.port });
    stream.data(1, "first ").data(1, "second");
    await until("all of it is there", () => got.join("") === "first second");
    expect(liar.events).toMatchObject([{ decision: "allowed", name: "good.test", address: here }]);
    expect(liar.accepts).toEqual([]);
    echo.close();
  });

  test("hands over a connection to nowhere: it is reset, and nothing is told of it", async () => {
    liar = await Liar.start();
    const streams = [
      await liar.hand(undefined),
      await liar.hand({ ...name("good.test"), port: 0 }),
      await liar.hand({ ...name("good.test"), port: 70_000 }),
    ];
    await until("they are reset", () => streams.every((stream) => stream.saw(FrameType.RESET)));
    expect(liar.events).toEqual([]);
  });

  test("hands over before anything is decided as many as there are places for, and no more can it send", async () => {
    liar = await Liar.start();
    const sink = await serve(here, (socket) => socket.resume());
    const wanted = { ...name("good.test"), port: sink.port };
    let resolve = (): void => {};
    liar.resolving = new Promise((done) => {
      resolve = done;
    });
    await liar.session.ping();
    const places = liar.ahead.length;
    for (let at = 0; at < places; at++)
      (await liar.hand(wanted)).data(1, Buffer.alloc(liar.ahead[at]!.open.window));
    liar.tell(wanted); // and others are told, as ever
    await liar.session.ping(); // all before it has come
    expect(liar.ahead).toHaveLength(places);
    expect(places * liar.ahead[0]!.open.window).toBeLessThanOrEqual(1024 * 1024);
    resolve();
    await until("all are connected", () => liar.events.length === places + 1);
    await until("others may come", () => liar.ahead.length > places);
    sink.close();
  });

  test("sends more than it may before anything is decided: its session ends", async () => {
    liar = await Liar.start();
    liar.resolving = new Promise(() => {});
    const stream = await liar.hand(name("good.test"));
    stream.data(1, Buffer.alloc(stream.open.window + 1));
    await until("its door is closed", () => liar.ended !== "not yet");
  });

  test("hands over and resets at once: nothing is carried, and the host goes on", async () => {
    liar = await Liar.start();
    for (let turn = 0; turn < 40; turn++)
      (await liar.hand(name("good.test"))).result({ error: { code: GuestErrorCode.RESET } });
    const stream = await liar.hand(name("good.test"));
    await until("the next is carried", () => stream.saw(FrameType.END));
    stream.result({ error: { code: GuestErrorCode.RESET } });
    await until("the server has none of them", () => server.open.size === 0);
    expect(liar.ended).toBe("not yet");
  });

  test("hands over denied ones without end: it is slowed down, and others are let in", async () => {
    liar = await Liar.start();
    const startedAt = performance.now();
    while (performance.now() - startedAt < 2_000) await liar.hand(name("evil.test"));
    expect(liar.ended).toBe("not yet");
    expect(liar.events.length).toBeGreaterThan(100);
    expect(liar.events.length).toBeLessThan(1_000);
    liar.tell(name("good.test"));
    await until("another is carried", () => liar.accepts[0]?.saw(FrameType.END));
  });

  test("is an older one and hands none over: it is not asked again, and its door is served", async () => {
    liar = await Liar.start(undefined, true);
    for (let turn = 1; turn <= 3; turn++) {
      liar.tell(name("good.test"));
      await until("it is connected", () => liar.accepts[turn - 1]?.saw(FrameType.END));
    }
    expect(liar.ahead.length).toBeLessThanOrEqual(16);
  });

  test("about a port is not listened to", async () => {
    liar = await Liar.start();
    liar.tell({ ...name("good.test"), port: 0 }, { ...name("good.test"), port: 70_000 }, name("good.test"));
    await until("the last is connected", () => liar.events.length > 0);
    expect(liar.events).toHaveLength(1);
  });

  test("says a name and an address: the name counts", async () => {
    liar = await Liar.start();
    liar.tell({ ...name("evil.test"), address: Buffer.from(here.split(".").map(Number)) });
    await until("it is refused", () => liar.events.length > 0);
    expect(liar.events).toMatchObject([{ decision: "denied", name: "evil.test" }]);
  });

  test("about records ends its door, and nothing else", async () => {
    liar = await Liar.start();
    liar.door.data(1, Buffer.from([0xff, 0xff, 0xff, 0xff]));
    await until("its door is closed", () => liar.ended !== "not yet");
    expect(liar.ended).toMatchObject({ code: "AGENT_PROTOCOL" });
    expect(liar.door.saw(FrameType.RESET)).toBe(true);
  });

  test("tells of thousands and hands none over: it is not listened to any more, and none is dialled twice", async () => {
    liar = await Liar.start(() => {});
    const before = server.count();
    for (let sent = 0; sent < 4_000; sent += 100)
      liar.tell(...Array.from({ length: 100 }, (_, at) => ({ ...name("good.test"), connection: sent + at })));
    await until("its door is closed", () => liar.ended !== "not yet");
    expect(liar.events.filter(({ reason }) => reason === "too-many")).toHaveLength(1);
    expect(server.count() - before).toBeLessThanOrEqual(256);
    await until("all are let go", () => server.open.size === 0);
  });

  test("of denied names, one after the other without end, is slowed down", async () => {
    liar = await Liar.start();
    let sent = 0;
    const startedAt = performance.now();
    while (performance.now() - startedAt < 2_000) {
      // No more than may wait, as an honest agent.
      for (; sent - liar.accepts.length < 128; sent++)
        liar.tell({ ...name("evil.test"), connection: sent + 1 });
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    expect(liar.ended).toBe("not yet");
    expect(liar.events.length).toBeGreaterThan(200);
    expect(liar.events.length).toBeLessThan(3_000);
  });

  test("says that there is no such connection: it is forgotten", async () => {
    liar = await Liar.start((stream) => void stream.result({ error: { code: GuestErrorCode.NOT_FOUND } }));
    liar.tell(name("good.test"));
    await until("the server has lost it", () => liar.accepts.length === 1 && server.open.size === 0);
  });

  test("ends its session in the middle: what was carried is cut", async () => {
    liar = await Liar.start();
    const held = await serve(here, (socket) => socket.resume());
    liar.tell({ ...name("good.test"), port: held.port });
    await until("it is connected", () => held.open.size === 1);
    liar.guest.connections[0]!.socket.destroy();
    await until("it is cut", () => held.open.size === 0);
    held.close();
  });
});

test("an agent that tells of connections to a brought port, and reads none of the answers, is stopped by its credit", async () => {
  let told: FakeStream | undefined;
  await using guest = await FakeGuest.start({
    onOpen: (stream) => {
      if (stream.open.bring !== undefined) told = stream.opened();
      else stream.opened();
    },
  });
  const session = await guest.connect();
  const held = await serve(here, () => {});
  const port = await bring(session, 80, { host: here, port: held.port });
  const knock = encodeRecord(encode(DoorConnection, { connection: 1, port: 80 }));
  for (let count = 0; count < 256; count++) told!.data(1, knock);
  await until("there is no place for more", () => held.open.size === 256);
  guest.connections[0]!.socket.pause();
  // Each more is refused, on a stream whose end the guest makes up: it knows which is next.
  const result = encode(Result, { error: { code: GuestErrorCode.CANCELLED } });
  let sent = 256 * knock.length;
  for (let id = 1 + 2 * 257; session.end === undefined && sent < 4 * 1024 * 1024; ) {
    for (let count = 0; count < 1000; count++, id += 2) {
      told!.data(1, knock);
      told!.connection.frame(id, FrameType.RESULT, 0, result);
    }
    sent += 1000 * knock.length;
    await new Promise((resolve) => setImmediate(resolve));
  }
  await until("its session is ended", () => session.end !== undefined);
  expect(session.end).toMatchObject({
    reason: "protocol",
    message: expect.stringContaining("beyond its credit"),
  });
  port.close();
  held.close();
});
