import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { createServer as createSecure } from "node:https";
import { type AddressInfo, connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Http, readBody } from "../../../../src/images/registry/http.ts";
import { Deadline } from "../../../../src/util/deadline.ts";
import { selfSigned } from "../../../helpers/certificate.ts";

let directory: string;
let certificate: string;
let secure: Server;
let proxy: Server;
/** what the proxy was asked: method, target, who asked */
const asked: string[] = [];
/** what stays open behind the proxy's back */
const sockets = new Set<Duplex>();
const portOf = (server: Server): number => (server.address() as AddressInfo).port;
const listen = (server: Server): Promise<void> =>
  new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "smolvm-proxy-"));
  const made = selfSigned(directory, "DNS:registry.test");
  certificate = made.certificate;
  secure = createSecure(
    { cert: readFileSync(certificate), key: readFileSync(made.key) },
    (request, response) => {
      response.end(`secure ${request.headers.host} ${request.headers["proxy-authorization"] ?? "nobody"}`);
    },
  ) as unknown as Server;
  await listen(secure);
  // The names are no real ones: whatever is asked for leads to the server above.
  proxy = createServer((request, response) => {
    asked.push(`${request.method} ${request.url} ${request.headers["proxy-authorization"] ?? "nobody"}`);
    response.end(`plain ${request.headers.host}`);
  });
  proxy.on("connect", (request, socket) => {
    asked.push(`CONNECT ${request.url} ${request.headers["proxy-authorization"] ?? "nobody"}`);
    if (request.url === "refused.test:443") {
      socket.end("HTTP/1.1 403 Forbidden\r\n\r\n");
      return;
    }
    const server = connect(portOf(secure), "127.0.0.1", () => {
      socket.write("HTTP/1.1 200 Connection established\r\n\r\n");
      socket.pipe(server).pipe(socket);
    });
    for (const end of [socket, server]) sockets.add(end.on("error", () => {}));
  });
  await listen(proxy);
});
afterAll(async () => {
  for (const socket of sockets) socket.destroy();
  for (const server of [secure, proxy]) {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
  rmSync(directory, { recursive: true });
});

async function get(url: string, credentials = ""): Promise<string> {
  asked.length = 0;
  const address = `http://${credentials}127.0.0.1:${portOf(proxy)}`;
  const http = new Http({
    httpsProxy: address,
    httpProxy: address,
    noProxy: "direct.test",
    sslCertFile: certificate,
  });
  try {
    const response = await http.request(new URL(url), {}, Deadline.of("asking", { timeoutMs: 20_000 }));
    return Buffer.from((await readBody(response, 1000)) ?? []).toString();
  } finally {
    http.close();
  }
}

test("a registry behind a proxy is spoken to through it, and its certificate is looked at all the same", async () => {
  expect(await get("https://registry.test/v2/")).toBe("secure registry.test nobody");
  expect(asked).toEqual(["CONNECT registry.test:443 nobody"]);
  await expect(get("https://another.test/v2/")).rejects.toThrow(/altnames|Hostname/i);
});

test("who asks is told to the proxy alone", async () => {
  const basic = `Basic ${Buffer.from("me:pass word").toString("base64")}`;
  expect(await get("https://registry.test/", "me:pass%20word@")).toBe("secure registry.test nobody");
  expect(asked).toEqual([`CONNECT registry.test:443 ${basic}`]);
  expect(await get("http://plain.test/a", "me:pass%20word@")).toBe("plain plain.test");
  expect(asked).toEqual([`GET http://plain.test/a ${basic}`]);
});

test("a proxy that refuses is told, and one that is not for a host not asked", async () => {
  await expect(get("https://refused.test/")).rejects.toThrow(
    /the proxy 127\.0\.0\.1:\d+ refuses \(status 403\)/,
  );
  await expect(get("https://direct.test/")).rejects.toThrow("there is no host of that name");
  expect(asked).toEqual([]);
});
