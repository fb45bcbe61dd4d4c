import { createSocket } from "node:dgram";
import { once } from "node:events";
import { createServer, type Server } from "node:net";
import { networkInterfaces } from "node:os";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type NetworkEvent, SmolVM } from "../../src/index.ts";
import { BACKENDS, HAS_PYTHON, small } from "../helpers/backends.ts";
import { noteRun } from "../helpers/escape-runs.ts";
import { useTempHome } from "../helpers/home.ts";
import {
  HAS_LOW_PORTS,
  httpEcho,
  type NameServer,
  nameServer,
  ownLoopback,
  serve,
  type TestServer,
} from "../helpers/small-internet.ts";
import { scaled } from "../helpers/speed.ts";
import { CELLS, type Cell, PRELUDE, TRIES } from "./restricted-escapes.ts";

useTempHome();
const here = ownLoopback();
const lan = Object.values(networkInterfaces())
  .flatMap((addresses) => addresses ?? [])
  .find(({ family, internal }) => family === "IPv4" && !internal)?.address;

/** Whether this machine has what a cell needs. */
const can = ({ needs }: Cell): boolean =>
  (needs !== "lan" || lan !== undefined) && (needs !== "root" || HAS_LOW_PORTS);

/** How long a name's addresses are kept (src/egress/resolve.ts), and some more. */
const KEPT_MS = 5_500;

/** Listens at all addresses of this machine, over TCP and UDP, and counts whatever comes. */
async function setTrap(): Promise<{ port: number; caught: string[]; close: () => void }> {
  const caught: string[] = [];
  const server: Server = createServer((socket) => {
    caught.push(`TCP to ${socket.localAddress}`);
    socket.on("error", () => {});
    socket.end("trapped");
  });
  server.listen(0, "::");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  const udp = createSocket({ type: "udp6" });
  udp.on("message", () => caught.push("UDP"));
  udp.bind(port, "::");
  await once(udp, "listening");
  const close = (): void => {
    server.close();
    udp.close();
  };
  return { port, caught, close };
}

describe.skipIf(!HAS_PYTHON).each(BACKENDS)("root of a guest with a restricted network on %s", (backend) => {
  let vm: SmolVM;
  let dns: NameServer;
  let trap: Awaited<ReturnType<typeof setTrap>>;
  const servers: TestServer[] = [];
  const hosts: string[] = [];
  const outcomes = new Map<string, string>();
  const told = new Map<string, NetworkEvent[]>();

  /** Tries some cells, one after the other, and notes what came of them. */
  const attempt = async (cells: readonly Cell[]): Promise<void> => {
    const words: Record<string, string> = {
      here,
      lan: lan ?? "",
      good: String(servers[0]!.port),
      trap: String(trap.port),
    };
    const count = async (): Promise<NetworkEvent[]> => {
      const events: NetworkEvent[] = [];
      for await (const event of vm.network.events()) events.push(event);
      return events;
    };
    for (const cell of cells) {
      const code = cell.attempt.replaceAll(/\{(\w+)\}/g, (_all, word: string) => words[word]!);
      const before = (await count()).length;
      const { stdout, stderr } = await vm.run(["python3", "-c", PRELUDE], {
        stdin: JSON.stringify([code]),
        timeoutMs: scaled(60_000),
      });
      outcomes.set(cell.name, stdout === "" ? stderr : (JSON.parse(stdout) as string[])[0]!);
      told.set(cell.name, (await count()).slice(before));
    }
  };

  /** What was seen of a cell, and decided last; of several connections at once whichever was decided last is anybody's guess. */
  const seenOf = ({ name, about }: Cell): string => {
    const last = told.get(name)?.findLast((event) => about === undefined || event.name === about);
    const event =
      last === undefined ? "" : `${last.decision}${last.reason === undefined ? "" : `: ${last.reason}`}`;
    return `${outcomes.get(name)} ${event}`.trim();
  };

  beforeAll(async () => {
    dns = await nameServer({
      "good.test": [here],
      "a.b.wild.test": [here],
      [`${`${"a".repeat(61)}.`.repeat(3)}${"b".repeat(57)}.wild.test`]: [here],
      "evil.test": [here],
      "loop.wild.test": ["127.0.0.1"],
      "private.wild.test": ["10.1.2.3"],
      "metadata.wild.test": ["169.254.169.254"],
      "lan.wild.test": [lan ?? "127.0.0.1"],
      "zero.wild.test": ["0.0.0.0"],
      "both.wild.test": ["127.0.0.1", here],
      "rebound.wild.test": [here],
    });
    process.env.SMOLVM_RESOLVER = dns.address;
    trap = await setTrap();
    servers.push(await serve(here, (socket) => socket.once("data", () => socket.end("hello"))));
    if (HAS_LOW_PORTS) {
      servers.push(await serve(here, httpEcho(hosts), 80));
      servers.push(await serve(here, (socket) => socket.once("data", () => socket.end("it came")), 443));
    }
    const network = { mode: "restricted", allow: ["good.test", "*.wild.test", here] } as const;
    vm = await SmolVM.create(small(backend, { network }));
    // The name is asked for once and may be kept; then it is another's.
    await vm.run(["python3", "-c", PRELUDE], {
      stdin: JSON.stringify([`r = tcp("rebound.wild.test", ${servers[0]!.port})`]),
    });
    dns.names.set("rebound.wild.test", ["127.0.0.1"]);
    await new Promise((resolve) => setTimeout(resolve, KEPT_MS));
    await attempt(CELLS.filter(can));
  }, scaled(600_000));
  afterAll(async () => {
    await vm?.delete({ force: true });
    for (const server of servers) server.close();
    trap?.close();
    dns?.close();
    delete process.env.SMOLVM_RESOLVER;
  });

  test.each(CELLS.map((cell) => [cell.name, cell] as const))("%s", (_name, cell) => {
    if (!can(cell)) return; // said by the next test
    expect(seenOf(cell)).toBe(`${cell.outcome} ${cell.event ?? ""}`.trim());
  });

  test("nothing that was kept from it has arrived anywhere, and what was held is noted for the docs", async () => {
    expect(trap.caught).toEqual([]);
    expect(hosts.filter((host) => host !== "good.test")).toEqual([]);
    const allowed = ["good.test", ".wild.test"];
    expect(dns.asked.filter((name) => !allowed.some((end) => name.endsWith(end)))).toEqual([]);
    const skipped = CELLS.filter((cell) => !can(cell)).map(({ name, needs }) => `${name} (needs ${needs})`);
    if (skipped.length > 0) console.log(`not tried on this machine: ${skipped.join("; ")}`);
    const { accelerator } = await vm.info();
    noteRun(
      { network: "restricted", backend, accelerator },
      TRIES.filter(({ outcome }, index) => seenOf(CELLS[index]!) === outcome),
    );
  });
});
