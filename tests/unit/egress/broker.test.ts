import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { Duplex } from "node:stream";
import { expect, test } from "vitest";
import { Broker } from "../../../src/egress/broker.ts";
import type { NetworkEvent } from "../../../src/egress/event.ts";
import { parseIp } from "../../../src/util/ip-address.ts";

/** A port of the loopback on which nobody listens. */
async function closedPort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

test("a connection is taken up while its server is dialled, and cut where nobody answers", async () => {
  const events: NetworkEvent[] = [];
  const broker = new Broker({
    policy: () => ({ allow: ["127.0.0.1"], deny: [] }),
    rateLimitMbps: undefined,
    resolve: async () => [],
    ownAddresses: () => [],
    report: (event) => events.push(event),
    overrun: () => {},
  });
  let refused = false;
  const guest = new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() });
  const cut = once(guest, "error");
  broker.handle({
    name: undefined,
    address: parseIp("127.0.0.1"),
    port: await closedPort(),
    accept: async () => guest,
    refuse: () => {
      refused = true;
    },
  });
  await cut;
  expect(refused).toBe(false);
  expect(events).toMatchObject([{ decision: "failed", reason: "unreachable" }]);
  broker.close();
});
