import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createConnection, createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { QmpClient } from "../../../src/backends/qemu/qmp-client.ts";
import { loadTranslations } from "../../../src/backends/qemu/translations.ts";
import { Deadline } from "../../../src/util/deadline.ts";
import { until } from "../../helpers/wait.ts";

const within = (timeoutMs = 20_000): Deadline => Deadline.of("the test", { timeoutMs });

let dir: string;
let path: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "smq-"));
  path = join(dir, "ctl");
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const connect = (deadline = within()): Promise<QmpClient> => QmpClient.connect(path, deadline);

describe("QMP with a real QEMU", () => {
  let ended: Promise<number | null>;
  const start = async (): Promise<QmpClient> => {
    const qemu = spawn(
      "qemu-system-x86_64",
      ["-M", "none", "-nodefaults", "-display", "none", "-qmp", `unix:${path},server=on,wait=off`],
      { stdio: "ignore" },
    );
    ended = new Promise((resolve) => qemu.once("exit", resolve));
    return await until("QEMU listens", () => connect(within(2_000)).catch(() => undefined));
  };

  test("greets, answers commands, tells events, and quits", async () => {
    const client = await start();
    expect(client.version).toMatch(/^\d+\.\d+\.\d+$/);
    expect(await client.queryStatus(within())).toBe("running");
    const events: string[] = [];
    client.onEvent((name) => events.push(name));
    await client.execute("stop", undefined, within());
    expect(await client.queryStatus(within())).toBe("paused");
    expect(events).toContain("STOP");
    await client.quit(within());
    expect(await ended).toBe(0);
  });

  test("a refused command is an error in QEMU's words, and the conversation goes on", async () => {
    const client = await start();
    await expect(client.execute("no-such-command", undefined, within())).rejects.toMatchObject({
      code: "VMM_FAILED",
      message: expect.stringContaining("QEMU refused 'no-such-command'"),
      details: { class: "CommandNotFound" },
    });
    const answers = await Promise.all(Array.from({ length: 20 }, () => client.queryStatus(within())));
    expect(new Set(answers)).toEqual(new Set(["running"]));
    await client.quit(within());
    await ended;
  });

  test("one that comes while as many wait as QEMU's socket lets wait is served in its turn", async () => {
    const client = await start();
    const waiting = Array.from({ length: 8 }, () => createConnection({ path }));
    const refused = await Promise.all(
      waiting.map(
        (socket) => new Promise((resolve) => socket.once("connect", resolve).once("error", resolve)),
      ),
    );
    expect(refused).toContainEqual(expect.objectContaining({ code: "EAGAIN" })); // they are more
    const last = connect();
    last.catch(() => {});
    for (const socket of waiting) socket.destroy();
    client.close();
    await (await last).quit(within());
    await ended;
  });

  test("a second client waits no longer than its deadline, and is served when the first has gone", async () => {
    const first = await start();
    await expect(connect(within(200))).rejects.toMatchObject({ code: "TIMEOUT" });
    first.close();
    const second = await until("it is served", () => connect(within(2_000)).catch(() => undefined));
    await second.quit(within());
    await ended;
    await expect(second.queryStatus(within())).rejects.toMatchObject({ code: "VMM_FAILED" });
  });
});

describe("QMP with something else", () => {
  let server: Server | undefined;
  const serve = (greeting: string, answer?: string): Promise<void> =>
    new Promise((resolve) => {
      server = createServer((socket) => {
        socket.on("error", () => {});
        socket.write(greeting);
        socket.on("data", () => (answer === undefined ? socket.destroy() : socket.write(answer)));
      }).listen(path, resolve);
    });
  afterEach(() => new Promise<void>((resolve) => (server ? server.close(() => resolve()) : resolve())));

  test("nobody listening is VMM_FAILED", async () => {
    await expect(connect()).rejects.toMatchObject({
      code: "VMM_FAILED",
      message: expect.stringContaining("does not answer"),
    });
  });

  test("another protocol is VMM_FAILED at once", async () => {
    await serve("SSH-2.0-OpenSSH\r\n");
    await expect(connect()).rejects.toMatchObject({ code: "VMM_FAILED" });
  });

  test("a connection that ends in the middle is VMM_FAILED", async () => {
    await serve('{"QMP": {"version": {}, "capabilities": []}}\r\n');
    await expect(connect()).rejects.toMatchObject({ code: "VMM_FAILED" });
  });

  test("a QEMU of ours that an earlier version has built is not told that translations are whole", async () => {
    const asked: object[] = [];
    server = createServer((socket) => {
      socket.write(
        '{"QMP": {"version": {"qemu": {"major": 10, "minor": 0, "micro": 13}}, "capabilities": []}}\r\n',
      );
      createInterface(socket).on("line", (line) => {
        const { execute, arguments: given, id } = JSON.parse(line);
        if (execute === "translations-load") asked.push(given);
        const error = { class: "GenericError", desc: "Parameter 'whole' is unexpected" };
        const isRefused = given?.whole !== undefined;
        socket.write(`${JSON.stringify({ id, ...(isRefused ? { error } : { return: {} }) })}\r\n`);
      });
    }).listen(path);
    await once(server, "listening");
    const client = await connect();
    const load = (more: object): Promise<string | undefined> =>
      loadTranslations(client, { path: "/code", key: "of a state", ...more }, within());
    expect(await load({ wholeFor: "of a state" })).toBeUndefined();
    expect(await load({})).toBeUndefined();
    const unlooked = { filename: "/code", key: "of a state" };
    expect(asked).toEqual([{ ...unlooked, whole: true }, unlooked, unlooked]);
    client.close();
  });

  test("a flood without an end is cut off", async () => {
    await serve(`{"QMP": "${"x".repeat(5 * 1024 * 1024)}`);
    await expect(connect()).rejects.toMatchObject({ message: expect.stringContaining("longer than") });
  });

  test("an answer that nobody asked for is ignored", async () => {
    await serve('{"QMP": {"version": {}, "capabilities": []}}\r\n', '{"return": {}, "id": 99}\r\n');
    await expect(connect(within(200))).rejects.toMatchObject({ code: "TIMEOUT" });
  });
});
