import { once } from "node:events";
import { Duplex } from "node:stream";
import { expect, test } from "vitest";
import { Broker } from "../../../src/egress/broker.ts";
import type { NetworkEvent } from "../../../src/egress/event.ts";
import { parseIp } from "../../../src/util/ip-address.ts";
import { freePort } from "../../helpers/free-port.ts";

test("a connection is taken up while its server is dialled, and cut where nobody answers", async () => {
  const events: NetworkEvent[] = [];
  const broker = new Broker({
    policy: () => ({ allow: ["127.0.0.1"], deny: [] }),
    rateLimitMbps: undefined,
    resolve: async () => [],
    ownNetworks: () => [],
    report: (event) => events.push(event),
    overrun: () => {},
  });
  let refused = false;
  const guest = new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() });
  const cut = once(guest, "error");
  broker.handle({
    name: undefined,
    address: parseIp("127.0.0.1"),
    port: await freePort(),
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
