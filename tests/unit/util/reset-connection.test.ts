import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";
import { afterEach, beforeEach, expect, test } from "vitest";
import { resetConnection } from "../../../src/util/reset-connection.ts";

let server: Server;
let ours: Socket;
let peer: Socket;
beforeEach(async () => {
  server = createServer({ allowHalfOpen: true }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  peer = connect({ host: "127.0.0.1", port, allowHalfOpen: true });
  [[ours]] = (await Promise.all([once(server, "connection"), once(peer, "connect")])) as [[Socket], unknown];
});
afterEach(() => {
  peer.destroy();
  server.close();
});

/** Waits until both sides are closed: the server waits for its connections. Returns the error that the peer met. */
async function ends(): Promise<NodeJS.ErrnoException | null> {
  const cut = new Promise((resolve) => peer.once("close", resolve));
  peer.on("error", () => {});
  // Who has seen the other's end reads no more, and meets a reset when it writes.
  peer.once("end", () => peer.writable && peer.write("still there?"));
  peer.resume();
  await new Promise((resolve) => server.close(resolve));
  await cut;
  return peer.errored;
}

test("a connection is reset", async () => {
  resetConnection(ours);
  expect(await ends()).toMatchObject({ code: "ECONNRESET" });
});

test("so it is while its end is on the way to the kernel, when a reset is refused", async () => {
  const errors: unknown[] = [];
  ours.on("error", (error) => errors.push(error));
  ours.end();
  for (let ticks = 0; ticks < 2; ticks++) await new Promise<void>((resolve) => process.nextTick(resolve));
  expect(ours.writableFinished).toBe(false);
  resetConnection(ours);
  expect((await ends())?.code).toMatch(/^(ECONNRESET|EPIPE)$/);
  expect(errors).toEqual([]);
});

test("one that is closed already stays so", async () => {
  ours.destroy();
  resetConnection(ours);
  peer.end();
  expect(await ends()).toBe(null);
});
