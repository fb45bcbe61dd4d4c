import { once } from "node:events";
import { createServer, type Socket, connect as tcp } from "node:net";
import { afterEach, expect, test } from "vitest";
import { SmolVM } from "../../../src/index.ts";
import { small } from "../../helpers/backends.ts";
import { cli, createBox } from "../../helpers/cli.ts";
import { freePort } from "../../helpers/free-port.ts";
import { useTempHome } from "../../helpers/home.ts";
import { until } from "../../helpers/wait.ts";

useTempHome();
afterEach(async () => {
  for (const { name } of await SmolVM.list()) await (await SmolVM.get(name)).delete({ force: true });
});

/** gdb's side of its remote protocol (https://sourceware.org/gdb/current/onlinedocs/gdb.html/Remote-Protocol.html). */
class Gdb {
  readonly #socket: Socket;
  #received = "";

  constructor(port: number) {
    this.#socket = tcp({ host: "127.0.0.1", port });
    this.#socket.on("data", (data) => {
      this.#received += data.toString("latin1");
    });
  }

  /** Sends a packet and returns the answer's content. */
  async ask(content: string): Promise<string> {
    const sum = [...content].reduce((total, char) => (total + char.charCodeAt(0)) & 0xff, 0);
    this.#received = "";
    this.#socket.write(`$${content}#${sum.toString(16).padStart(2, "0")}`);
    const [, answer] = await until(`an answer to ${content}`, () => /\$([^#]*)#../.exec(this.#received));
    this.#socket.write("+");
    return answer!;
  }

  close(): void {
    this.#socket.destroy();
  }
}

test("gdb reads the guest's registers while it is halted, and lets it go on", async () => {
  const gdbPort = await freePort();
  await using vm = await SmolVM.create(small("qemu", { gdbPort }));
  expect((await vm.info()).gdbPort).toBe(gdbPort);
  const gdb = new Gdb(gdbPort);
  expect(await gdb.ask("?")).toMatch(/^T0[25]thread/); // stopped: by SIGINT if gdb just came, else SIGTRAP
  expect(await gdb.ask("g")).toMatch(/^[0-9a-fx]{32}/);
  let answered = false;
  const running = vm.run("echo on").then((result) => {
    answered = true;
    return result;
  });
  expect(await gdb.ask("qC")).toMatch(/^QC/);
  expect(answered).toBe(false); // nothing runs in a halted machine
  expect(await gdb.ask("D")).toBe("OK");
  expect((await running).stdout).toBe("on\n");
  gdb.close();
});

test("the port is for one start, on loopback only, and told when it is taken", async () => {
  const port = await freePort();
  await createBox("box");
  const late = await cli(["start", "--gdb", String(port), "box"]);
  expect(late.code).toBe(1);
  expect(late.stderr).toContain(`smolvm stop box && smolvm start --gdb ${port} box`);
  await cli(["stop", "box"]);

  const server = createServer().listen(port, "127.0.0.1");
  await once(server, "listening");
  const taken = await cli(["start", "--gdb", String(port), "box"]);
  expect(taken.code).toBe(1);
  expect(taken.stderr).toContain("choose another --gdb");
  server.close();
  await once(server, "close");

  const start = await cli(["start", "--gdb", String(port), "box"]);
  expect(start).toMatchObject({ code: 0, text: "box\n" });
  expect(start.stderr).toContain(`target remote 127.0.0.1:${port}`);
  const elsewhere = tcp({ host: "127.0.0.2", port });
  const [refusal] = await once(elsewhere, "error");
  expect(refusal).toMatchObject({ code: "ECONNREFUSED" });
  const gdb = new Gdb(port);
  expect(await gdb.ask("?")).toMatch(/^T0[25]thread/);
  expect(await gdb.ask("D")).toBe("OK");
  gdb.close();

  expect((await cli(["stop", "box"])).code).toBe(0);
  expect((await cli(["start", "box"])).code).toBe(0);
  const gone = tcp({ host: "127.0.0.1", port });
  expect((await once(gone, "error"))[0]).toMatchObject({ code: "ECONNREFUSED" });
  expect((await cli(["create", "--gdb", "70000"])).code).toBe(2);
});
