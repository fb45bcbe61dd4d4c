import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { ApiClient } from "../../../src/backends/firecracker/api-client.ts";
import type { ApiRequest } from "../../../src/backends/firecracker/requests.ts";
import { Deadline } from "../../../src/util/deadline.ts";

const CALL: ApiRequest = { method: "PUT", path: "/boot-source", body: { a: 1 }, what: "the kernel" };
const soon = (timeoutMs = 20_000): Deadline => Deadline.of("asking Firecracker", { timeoutMs });

/** With a length, as Firecracker does. */
function say(response: ServerResponse, status: number, body: string): void {
  response.writeHead(status, { "Content-Length": Buffer.byteLength(body) }).end(body);
}

/** Answers as a Firecracker does, or as one that was taken over. The real one is in the lab's tests. */
describe("the client of Firecracker's API", () => {
  let directory: string;
  let socketPath: string;
  let server: Server | undefined;
  let client: ApiClient;

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "smolvm-api-"));
    socketPath = join(directory, "ctl");
    client = new ApiClient(socketPath);
  });
  afterEach(() => {
    client.close();
    server?.closeAllConnections();
    server?.close();
    server = undefined;
    rmSync(directory, { recursive: true });
  });
  const answer = async (
    handle: (request: IncomingMessage, response: ServerResponse) => void,
  ): Promise<void> => {
    server = createServer(handle).listen(socketPath);
    await once(server, "listening");
  };

  test("sends method, path and JSON in one go, in order, on one connection", async () => {
    const seen: string[] = [];
    let connections = 0;
    await answer(async (request, response) => {
      let body = "";
      for await (const chunk of request) body += chunk;
      seen.push(`${request.method} ${request.url} ${request.headers["content-type"]} ${body}`);
      response.writeHead(204).end();
    });
    server!.on("connection", () => connections++);
    const disk: ApiRequest = { ...CALL, path: "/drives/a", body: { path: "/ä" } };
    await client.send([CALL, disk], soon());
    await client.send([{ ...CALL, method: "PATCH", path: "/vm" }], soon());
    expect(seen).toEqual([
      'PUT /boot-source application/json {"a":1}',
      'PUT /drives/a application/json {"path":"/ä"}',
      'PATCH /vm application/json {"a":1}',
    ]);
    expect(connections).toBe(1);
  });

  test("reads what it asks for, and says when that is no JSON", async () => {
    await answer((request, response) => {
      say(response, 200, request.url === "/version" ? '{"firecracker_version":"1.16.2"}' : "oops");
    });
    expect(await client.get("/version", soon())).toEqual({ firecracker_version: "1.16.2" });
    await expect(client.get("/vm/config", soon())).rejects.toMatchObject({ code: "VMM_FAILED" });
  });

  test("waits for a socket that is still to come", async () => {
    const sent = client.send([CALL], soon());
    await answer((_, response) => response.writeHead(204).end());
    await sent;
  });

  test("turns a refusal into an error of ours, with Firecracker's words", async () => {
    await answer((request, response) => {
      if (request.url === "/first") response.writeHead(204).end();
      else say(response, 400, `{"fault_message":"The kernel file cannot be opened: ${request.url}"}`);
    });
    const calls = ["/first", "/second", "/third"].map((path) => ({ ...CALL, path }));
    await expect(client.send(calls, soon())).rejects.toMatchObject({
      code: "IMAGE_INVALID",
      message: "Firecracker refused the kernel: The kernel file cannot be opened: /second",
    });
  });

  test("gives up at its deadline on an API that never answers, and on one that never appears", async () => {
    await expect(client.send([CALL], soon(200))).rejects.toMatchObject({ code: "TIMEOUT" });
    await answer(() => {});
    await expect(client.send([CALL], soon(200))).rejects.toMatchObject({ code: "TIMEOUT" });
  });

  test("says so when the connection ends without an answer", async () => {
    await answer((request) => request.socket.destroy());
    await expect(client.send([CALL], soon())).rejects.toMatchObject({
      code: "VMM_FAILED",
      message: expect.stringContaining("no answer about the kernel"),
    });
  });

  test.each([
    ["is of no known length", {}],
    ["is too long", { "Content-Length": 1 << 20 }],
  ])("reads no answer that %s", async (_what, headers) => {
    await answer((_, response) => {
      response.writeHead(200, headers);
      const more = (): void => {
        while (response.writable && response.write(Buffer.alloc(16_384)));
        if (response.writable) response.once("drain", more);
      };
      more();
    });
    await expect(client.send([CALL], soon())).rejects.toMatchObject({ code: "VMM_FAILED" });
  });
});
