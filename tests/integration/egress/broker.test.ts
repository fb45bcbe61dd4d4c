import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { Duplex } from "node:stream";
import { expect, test } from "vitest";
import { Broker } from "../../../src/egress/broker.ts";
import type { NetworkEvent } from "../../../src/egress/event.ts";
import { parseIp } from "../../../src/util/ip-address.ts";

test("an address that is allowed no more once its turn comes is not dialled", async () => {
  const events: NetworkEvent[] = [];
  let reached = 0;
  const server = createServer(() => reached++).listen(0, "127.0.0.2");
  await once(server, "listening");
  let allow = ["a.test", "127.0.0.0/8"];
  const broker = new Broker({
    policy: () => ({ allow, deny: [] }),
    rateLimitMbps: undefined,
    resolve: async () => ["127.0.0.3", "127.0.0.2"].map((text) => parseIp(text)!), // at the first nobody answers
    ownNetworks: () => [],
    report: (event) => events.push(event),
    overrun: () => {},
  });
  const guest = new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() });
  const cut = once(guest, "error");
  broker.handle({
    name: "a.test",
    address: undefined,
    port: (server.address() as AddressInfo).port,
    accept: async () => {
      allow = ["127.0.0.3"]; // the first is being dialled
      return guest;
    },
    refuse: () => {},
  });
  await cut;
  expect(events).toMatchObject([{ decision: "denied", reason: "no-rule" }]);
  expect(reached).toBe(0);
  broker.close();
  server.close();
});
