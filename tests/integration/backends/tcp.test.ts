import { readdirSync, readFileSync, readlinkSync, statSync } from "node:fs";
import { connect as tcp } from "node:net";
import { join } from "node:path";
import { afterAll, afterEach, expect, test } from "vitest";
import { processPaths } from "../../../src/host/files/paths.ts";
import { SmolVM } from "../../../src/index.ts";
import { small } from "../../helpers/backends.ts";
import { cli, createBox, startCli } from "../../helpers/cli.ts";
import { processesNaming, useTempHome } from "../../helpers/home.ts";
import { until } from "../../helpers/wait.ts";

// The transport of Windows hosts, here: loopback TCP through the relay of the monitor in Node.
useTempHome();
process.env.SMOLVM_TRANSPORT = "tcp";
afterAll(() => {
  delete process.env.SMOLVM_TRANSPORT;
});
afterEach(async () => {
  for (const { name } of await SmolVM.list()) await (await SmolVM.get(name)).delete({ force: true });
});

/** Ports of loopback that a process listens on. */
function listening(pid: number): number[] {
  const inodes = new Set(
    readdirSync(`/proc/${pid}/fd`).map(
      (fd) => /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`))?.[1],
    ),
  );
  return readFileSync("/proc/net/tcp", "utf8")
    .split("\n")
    .map((line) => line.trim().split(/\s+/))
    .filter((fields) => fields[3] === "0A" && inodes.has(fields[9]))
    .map((fields) => Number.parseInt(fields[1]!.split(":")[1]!, 16));
}

test("a sandbox over loopback TCP does what one over Unix sockets does", async () => {
  await using vm = await SmolVM.create(small("qemu"));
  expect((await vm.run("echo hi; exit 3")).stdout).toBe("hi\n");
  const big = Buffer.alloc(3_000_000, "some bytes ");
  await vm.files.write("/root/big", big);
  expect(big.equals(await vm.files.read("/root/big"))).toBe(true);
  expect((await vm.run("head -c 5000000 /dev/zero")).stdout.length).toBe(5_000_000);
  expect(await vm.logs()).toContain("smolvm-agent: ready");
  expect((await vm.diagnose()).find(({ name }) => name === "vmm.json")?.text).toContain('"running": true');
  await vm.run("echo kept > /root/file");
  await vm.stop();
  expect((await vm.info()).state).toBe("stopped");
  await vm.start();
  expect((await vm.run("cat /root/file")).stdout).toBe("kept\n");
});

test("QEMU listens nowhere, and the one port that does lets in who has the token", async () => {
  await createBox("box");
  const vm = await SmolVM.get("box");
  const { pid } = await vm.info();
  expect(listening(pid!)).toEqual([]);
  const dir = join(processPaths().runtimeDir, vm.id);
  expect(readdirSync(dir)).toEqual(["relay.json"]);
  expect(statSync(dir).mode & 0o777).toBe(0o700);
  const note = JSON.parse(readFileSync(join(dir, "relay.json"), "utf8"));
  const monitor = processesNaming(vm.id).find((line) => line.includes("monitor"))!;
  expect(listening(Number(monitor.split(" ")[0]))).toEqual([note.port]);
  expect(processesNaming(note.token)).toEqual([]); // ps tells it to nobody

  // Somebody else of this machine: connected for good, and saying hello without having been asked.
  const others = Array.from({ length: 50 }, () =>
    tcp({ host: "127.0.0.1", port: note.port }).on("error", () => {}),
  );
  let got = "";
  for (const other of others) other.on("data", (data) => (got += data.toString("latin1")));
  others[0]!.write(Buffer.from("ffffffff736d6f6c766d2d6167656e74", "hex"));
  expect((await cli(["exec", "box", "--", "echo", "owner"])).text).toBe("owner\n");
  expect(got).toBe("");
  for (const other of others) other.destroy();
});

test("what a process had started ends with it, and the next one is served", async () => {
  await createBox("box");
  const run = startCli(["exec", "box", "--", "sh", "-c", "echo begun; exec sleep 4242"]);
  await run.printed("begun");
  run.child.kill("SIGKILL");
  await run.ended;
  const vm = await SmolVM.get("box");
  await until("its command is gone", async () => (await vm.run("pgrep -f 'sleep 424[2]'")).exitCode === 1);
  await vm[Symbol.asyncDispose]();
});
