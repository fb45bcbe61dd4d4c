import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer, type Socket, connect as tcp } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { dialRelay } from "../../../../src/host/relay/dial.ts";
import { MachineConnections } from "../../../../src/host/relay/machine.ts";
import { newToken } from "../../../../src/host/relay/proof.ts";
import { until } from "../../../helpers/wait.ts";

let directory: string;
let note: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "smolvm-relay-"));
  note = join(directory, "relay.json");
});
afterEach(() => rmSync(directory, { recursive: true }));

async function connection(port: number): Promise<Socket> {
  const socket = tcp({ host: "127.0.0.1", port });
  socket.on("error", () => {});
  await once(socket, "connect");
  return socket;
}

/** Waits until it is closed, in whatever way. */
async function closed(socket: Socket): Promise<void> {
  if (!socket.destroyed) await new Promise<void>((resolve) => socket.once("close", () => resolve()));
}

/** Everything that a socket received, as text. */
function heard(socket: Socket): () => string {
  let text = "";
  socket.on("data", (chunk) => {
    text += chunk.toString("latin1");
  });
  return () => text;
}

/** What QEMU is to the monitor: QMP on its streams, and connections that it makes. */
async function machine(
  port: number,
): Promise<{ stdin: PassThrough; stdout: PassThrough; console: Socket; channel: Socket }> {
  const [console, channel] = [await connection(port), await connection(port)];
  const [stdin, stdout] = [new PassThrough(), new PassThrough()];
  const filename = (socket: Socket): string => `tcp:127.0.0.1:${socket.localPort} <-> 127.0.0.1:${port}`;
  stdin.on("data", (chunk) => {
    for (const line of chunk.toString().trim().split("\n")) {
      const { execute, id } = JSON.parse(line);
      const list = [
        { label: "console", filename: filename(console) },
        { label: "channel1", filename: filename(channel) },
      ];
      const answer = execute === "query-chardev" ? list : { asked: execute };
      stdout.write(`${JSON.stringify({ return: answer, id })}\r\n`);
    }
  });
  stdout.write(`${JSON.stringify({ QMP: { version: {} } })}\r\n`);
  return { stdin, stdout, console, channel };
}

describe("a machine behind a relay", () => {
  test("is joined by the connections that it says are its own; who else connects is heard by nobody", async () => {
    const connections = new MachineConnections();
    const port = await connections.listen();
    const early = await connection(port);
    early.write("smolvm-agent: goodbye\n");
    const { stdin, stdout, console, channel } = await machine(port);
    const late = await connection(port);
    const strangers = [heard(early), heard(late)];
    let printed = "";
    await connections.serve({ stdin, stdout }, note, (chunk) => {
      printed += chunk;
    });
    await Promise.all([early, late].map((socket) => closed(socket)));
    expect(strangers.map((text) => text())).toEqual(["", ""]);
    await expect(connection(port)).rejects.toMatchObject({ code: "ECONNREFUSED" });
    expect(statSync(note).mode & 0o777).toBe(0o600);

    console.write("from the guest");
    await until("the console has it", () => printed === "from the guest");
    const client = await dialRelay(note, "ch1");
    const fromGuest = heard(client);
    const toGuest = heard(channel);
    client.resume().write("hello");
    await until("the guest has it", () => toGuest() === "hello");
    channel.write("answer");
    await until("the client has it", () => fromGuest() === "answer");

    // A second one waits for the first, and the guest sees the end of the first in between.
    const second = await dialRelay(note, "ch1");
    const secondHeard = heard(second);
    second.resume().write("again");
    client.destroy();
    await until("the second is served", () => toGuest().endsWith("again"));
    expect(toGuest()).toBe(`hello${"\0".repeat(12 + 65_536)}again`);
    expect(secondHeard()).toBe("");
    second.destroy();
    channel.destroy();
    console.destroy();
  });

  test("has its control shared: each client is greeted, negotiates, and gets the answers to its own questions", async () => {
    const connections = new MachineConnections();
    const { stdin, stdout, console, channel } = await machine(await connections.listen());
    await connections.serve({ stdin, stdout }, note, () => {});
    for (const name of ["one", "two"]) {
      const client = await dialRelay(note, "ctl");
      const text = heard(client);
      client.resume();
      client.write('{"execute":"qmp_capabilities","id":1}\n{"execute":"query-status","id":2}\n');
      await until(`${name} has its answers`, () => text().split("\r\n").length === 4);
      expect(
        text()
          .trim()
          .split("\r\n")
          .map((line) => JSON.parse(line)),
      ).toEqual([
        { QMP: { version: {} } },
        { return: {}, id: 1 },
        { return: { asked: "query-status" }, id: 2 },
      ]);
      client.destroy();
    }
    channel.destroy();
    console.destroy();
  });

  test("hangs up on who does not know the token, and is held up by nobody", async () => {
    const connections = new MachineConnections();
    const { stdin, stdout, console, channel } = await machine(await connections.listen());
    await connections.serve({ stdin, stdout }, note, () => {});
    const { port } = JSON.parse(readFileSync(note, "utf8"));
    const toGuest = heard(channel);

    const guessed = join(directory, "guessed.json");
    writeFileSync(guessed, JSON.stringify({ port, token: newToken() }));
    await expect(dialRelay(guessed, "ch1")).rejects.toMatchObject({ code: "ECONNRESET" });

    // The relay proves itself first; a client that cannot follow gets nothing more.
    const liar = await connection(port);
    const said = heard(liar);
    liar.write(`ch1 ${newToken()}\n`);
    await until("the relay's proof", () => said().endsWith("\n"));
    liar.write(`${newToken()}\nhello`);
    await closed(liar);
    expect(said()).toMatch(/^[0-9a-f]{64} [0-9a-f]{64}\n$/);

    const flood = await connection(port);
    flood.write("x".repeat(100_000));
    await closed(flood);

    const idle = await Promise.all(Array.from({ length: 100 }, () => connection(port)));
    const client = await dialRelay(note, "ch1");
    client.write("owner");
    await until("the owner is served", () => toGuest() === "owner");
    expect(toGuest()).toBe("owner");
    client.destroy();
    for (const socket of idle) socket.destroy();
    channel.destroy();
    console.destroy();
  });
});

test("nothing is said to somebody who has taken the port of a relay that is gone", async () => {
  let said = "";
  const thief = createServer((socket) => {
    socket.on("data", (chunk) => {
      said += chunk.toString("latin1");
      if (said.endsWith("\n")) socket.write(`${newToken()} ${newToken()}\n`);
    });
  }).listen(0, "127.0.0.1");
  await once(thief, "listening");
  const { port } = thief.address() as AddressInfo;
  const token = newToken();
  writeFileSync(note, JSON.stringify({ port, token }));
  await expect(dialRelay(note, "ch1")).rejects.toMatchObject({ code: "ECONNRESET" });
  expect(said).toMatch(/^ch1 [0-9a-f]{64}\n$/);
  expect(said).not.toContain(token);
  thief.close();
});
