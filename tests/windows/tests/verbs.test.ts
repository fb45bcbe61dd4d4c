/** Each verb once, as a user of Windows types it, and each kind of stream and file over the SDK. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { isAlive } from "../../../src/host/process/process-identity.ts";
import { SmolVM } from "../../../src/index.ts";
import { small } from "../../helpers/backends.ts";
import { cli, cliJson } from "../../helpers/cli.ts";
import { until } from "../../helpers/wait.ts";
import { done, states } from "../../helpers/walk.ts";
import { leavesNothing, monitors, NOTHING_LEFT, windowsLeftovers } from "../../helpers/windows-home.ts";

leavesNothing();

const SMALL = ["--network", "off", "--memory", "256M"];
let local: string;
beforeAll(() => {
  local = mkdtempSync(join(tmpdir(), "smolvm-verbs-"));
});
afterEach(async () => {
  await cli(["rm", "--all", "-f"]);
});
afterAll(() => {
  rmSync(local, { recursive: true });
});

/** What a web server on this machine answers; undefined: nothing (yet). */
async function page(port: number): Promise<string | undefined> {
  const socket = connect({ host: "127.0.0.1", port });
  socket.setTimeout(2_000, () => socket.destroy());
  socket.write("GET / HTTP/1.0\r\n\r\n");
  let said = "";
  try {
    for await (const chunk of socket) said += chunk;
  } catch {
    return undefined;
  }
  return said.startsWith("HTTP/1.0 200") ? said.slice(said.indexOf("\r\n\r\n") + 4) : undefined;
}

test("doctor says that sandboxes run, and why they are emulated where they are", async () => {
  const { data } = await cliJson(["doctor"]);
  const check = (name: string) => data.checks.find((one: { name: string }) => one.name === name);
  expect(check("Platform").status).toBe("pass");
  expect(check("QEMU binary").status).toBe("pass");
  // In a checkout whose sources have changed since, they are told as such.
  expect(check("Native programs").detail).toMatch(/^(agent, monitor$|built from other sources)/);
  // The home of these tests is none of the profile's under wine (main.ts).
  const { status, fix } = check("Directories");
  if (status === "warn") expect(fix).toContain("icacls");
  const { detail } = check("Accelerator");
  if (detail !== "whpx") {
    expect(detail).toMatch(/^tcg \(QEMU cannot use whpx: /);
    expect(check("Speed").fix).toContain("Enable-WindowsOptionalFeature");
  }
});

test("run boots, prints and leaves nothing", async () => {
  const { code, text, stderr } = await cli(["run", ...SMALL, "--", "sh", "-c", "uname -s; exit 3"]);
  expect({ code, text, stderr }).toEqual({ code: 3, text: "Linux\n", stderr: "" });
  expect(windowsLeftovers()).toEqual(NOTHING_LEFT);
});

test("a detached sandbox is used, stopped, started and removed by one command after the other", async () => {
  await done(["create", "--name", "box", "--start", ...SMALL]);
  expect(await states()).toEqual({ box: "running" });
  const echoed = await cli(["exec", "box", "--", "cat"], { input: "grüße\n" });
  expect(echoed).toMatchObject({ code: 0, text: "grüße\n" });
  // Two at once.
  const both = await Promise.all(["one", "two"].map((word) => done(["exec", "box", "--", "echo", word])));
  expect(both.map(({ text }) => text)).toEqual(["one\n", "two\n"]);

  mkdirSync(join(local, "tree", "deep"), { recursive: true });
  writeFileSync(join(local, "tree", "deep", "file"), "from Windows\n");
  await done(["cp", join(local, "tree"), "box:/root/tree"]);
  expect((await done(["exec", "box", "--", "cat", "/root/tree/deep/file"])).text).toBe("from Windows\n");
  await done([
    "exec",
    "box",
    "--",
    "sh",
    "-c",
    "mkdir /root/out; echo back > /root/out/file; touch /root/out/aux",
  ]);
  await done(["cp", "box:/root/out/file", join(local, "file")]);
  expect(readFileSync(join(local, "file"), "utf8")).toBe("back\n");
  // Windows cannot hold this name: it is said, and what else there is comes.
  const reserved = await cli(["cp", "box:/root/out", join(local, "out")]);
  expect(reserved.stderr).toContain("aux");

  await done(["stop", "box"]);
  expect(await states()).toEqual({ box: "stopped" });
  await done(["start", "box"]);
  expect((await done(["exec", "box", "--", "cat", "/root/out/file"])).text).toBe("back\n");
  await done(["rm", "-f", "box"]);
  expect((await done(["gc"])).text).toBe("Nothing was left behind.\n");
  expect(windowsLeftovers()).toEqual(NOTHING_LEFT);
});

test("the SDK's streams, files, terminal and ports", async () => {
  await using vm = await SmolVM.create(small("qemu"));
  const big = Buffer.alloc(3_000_000, "some bytes ");
  await vm.files.write("/root/big", big);
  expect(big.equals(await vm.files.read("/root/big"))).toBe(true);
  expect((await vm.run("head -c 2000000 /dev/zero | tr '\\0' x")).stdout.length).toBe(2_000_000);
  expect(await vm.run("echo out; echo err >&2; kill -9 $$")).toMatchObject({
    ...{ stdout: "out\n", stderr: "err\n", signal: "SIGKILL" },
  });
  const shell = vm.spawn("stty size; read line; echo got $line", { pty: { cols: 91, rows: 17 } });
  let screen = "";
  for await (const { data } of shell) {
    screen += Buffer.from(data);
    if (screen.includes("17 91") && !screen.includes("got")) shell.stdin.write("it\r");
  }
  expect(screen).toContain("got it");

  const server =
    "import socket; s=socket.create_server(('127.0.0.1', 7000)); print('up', flush=True); c,_=s.accept(); c.sendall(c.recv(9)[::-1]); c.close()";
  const listening = vm.spawn(["python3", "-c", server]);
  for await (const { data } of listening) if (Buffer.from(data).includes("up")) break;
  const { hostPort } = await vm.ports.expose(7000);
  const socket = connect({ host: "127.0.0.1", port: hostPort });
  socket.end("olleh");
  let said = "";
  for await (const chunk of socket) said += chunk;
  expect(said).toBe("hello");
});

test("a port leads into a detached sandbox, through the supervisor", async () => {
  await done(["create", "--name", "web", "--start", ...SMALL]);
  const line = "cd /srv; echo page > index.html; python3 -m http.server 8000 >/dev/null 2>&1 &";
  await done(["exec", "web", "--", "sh", "-c", line]);
  const { data } = await cliJson(["port", "web", "8000"]);
  const answer = await until("the server answers", () => page(data.hostPort));
  expect(answer).toBe("page\n");
  await done(["rm", "-f", "web"]);
});

test("a machine that is killed is told as it was, and one whose monitor is killed ends with it", async () => {
  await done(["create", "--name", "box", "--start", ...SMALL]);
  const vm = await SmolVM.get("box");
  process.kill((await vm.info()).pid!, "SIGKILL");
  await until("it is noticed", async () => (await states()).box === "error");
  const { data } = await cliJson(["info", "box"]);
  expect(data.error.message).toMatch(/crashed: its machine exited with code \d+/);
  await done(["start", "box"]);
  const [monitor] = monitors();
  process.kill(monitor!.pid, "SIGKILL");
  await until("its lock is free", () => !isAlive(monitor!));
  expect((await states()).box).toBe("error");
  // Nobody has its disk open any more.
  await done(["start", "box"]);
  expect((await done(["exec", "box", "--", "echo", "up"])).text).toBe("up\n");
  await done(["rm", "-f", "box"]);
});
