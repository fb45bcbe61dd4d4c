import { cpSync, mkdtempSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { processPaths } from "../../../src/host/paths.ts";
import { processGuards } from "../../../src/host/process-guards.ts";
import { isAlive, signalProcess } from "../../../src/host/process-identity.ts";
import { runProgram } from "../../../src/host/run.ts";
import { imageLayout } from "../../../src/images/layout.ts";
import { SmolVM } from "../../../src/smolvm.ts";
import { Deadline } from "../../../src/util/deadline.ts";
import { ARCH, small } from "../../helpers/backends.ts";
import { CLI } from "../../helpers/cli.ts";
import { enclosedTests, pidOf, recordOf } from "../../helpers/enclosed.ts";
import { processesNaming, useTempHome } from "../../helpers/home.ts";
import { filesSeenBy } from "../../helpers/inside.ts";
import { scaled } from "../../helpers/speed.ts";
import { until } from "../../helpers/wait.ts";

/** The VMM is QEMU, emulating: the tier is the same with any. A machine that cannot give it fails here, with the reason. */
const home = useTempHome();
const config = () => small("qemu", { image: "minimal", isolation: "user" });

describe("in the tier user, a VMM without a network", () => enclosedTests(home, config));

test("a VMM with a network has this machine's, and all else as well", async () => {
  await using vm = await SmolVM.create({ ...config(), network: "open" });
  await vm.start();
  const pid = await pidOf(vm);
  expect(processGuards(pid)!.ownNamespaces).not.toContain("net");
  expect(processGuards(pid)!.ownNamespaces).toEqual(expect.arrayContaining(["ipc", "mnt", "pid", "uts"]));
  expect(filesSeenBy(pid)).toContain("/etc/resolv.conf");
});

test("what is killed is found with its signal written down, and nothing stays behind", async () => {
  const vm = await SmolVM.create({ ...config(), lifetime: "detached" });
  await vm.start();
  const { vmm } = recordOf(vm);
  expect(readlinkSync(`/proc/${vmm!.pid}/exe`)).toContain("qemu-system");
  process.kill(vmm!.pid, "SIGKILL");
  await until("the monitor has ended", () => !isAlive(vmm!.monitor));
  const exit = readFileSync(join(home, "data", "smolvm", "vms", vm.id, "exit.json"), "utf8");
  expect(JSON.parse(exit)).toMatchObject({ pid: vmm!.pid, code: null, signal: 9 });
  expect(processesNaming(vm.id)).toEqual([]);
  await vm.delete({ force: true });
});

test("the VMM and what is around it die with their monitor", async () => {
  const vm = await SmolVM.create({ ...config(), lifetime: "detached" });
  await vm.start();
  const { vmm } = recordOf(vm);
  signalProcess(vmm!.monitor, "SIGKILL");
  await until("all have ended", () => processesNaming(vm.id).length === 0);
  await vm.delete({ force: true });
});

test("without bubblewrap a sandbox that wants it is refused, and any other runs and says why it has none", async () => {
  const { PATH } = process.env;
  process.env.PATH = join(home, "nowhere");
  try {
    await expect(SmolVM.create(config())).rejects.toMatchObject({
      code: "ISOLATION_UNAVAILABLE",
      message: expect.stringContaining("bubblewrap is not installed"),
      hint: expect.stringMatching(/^Install it: |^Install bubblewrap/),
    });
    await using vm = await SmolVM.create({ ...config(), isolation: "auto" });
    await vm.start();
    expect((await vm.info()).isolation).toMatchObject({
      tier: "none",
      whyNotNext: expect.stringContaining("bubblewrap"),
    });
    expect(processGuards(await pidOf(vm))!.ownNamespaces).toEqual([]);
  } finally {
    process.env.PATH = PATH;
  }
});

/** Copies an image of this user's store to another's. */
function copyImage(name: string, cacheDir: string): void {
  const [from, to] = [imageLayout(processPaths()), imageLayout({ cacheDir })];
  const ref = from.ref(name, ARCH);
  const { digest } = JSON.parse(readFileSync(ref, "utf8"));
  cpSync(ref, to.ref(name, ARCH));
  cpSync(from.image(digest), to.image(digest), { recursive: true });
}

/** A number that no user of this machine has. */
const NOBODY = 47_110;

test.runIf(process.getuid?.() === 0)(
  "an ordinary user's VMM is that user's, and what it has is a jail for root to make",
  async () => {
    const theirs = mkdtempSync(join(tmpdir(), "smt-"));
    const deadline = Deadline.of("an ordinary user's command", { timeoutMs: scaled(100_000) });
    const as = async (...args: string[]) =>
      JSON.parse(
        (
          await runProgram(
            [
              ...["setpriv", "--reuid", `${NOBODY}`, "--regid", `${NOBODY}`, "--clear-groups"],
              ...[
                "env",
                "-u",
                "XDG_DATA_HOME",
                "-u",
                "XDG_RUNTIME_DIR",
                "-u",
                "XDG_CACHE_HOME",
                `SMOLVM_HOME=${theirs}`,
              ],
              ...[...CLI, args[0]!, "--json", ...args.slice(1)],
            ],
            { deadline, check: false },
          )
        ).stdout,
      );
    try {
      copyImage("minimal", join(theirs, "cache"));
      await runProgram(["chown", "-R", `${NOBODY}:${NOBODY}`, theirs], { deadline });
      const options = ["--image", "minimal", "--network", "off", "--memory", "256M", "--backend", "qemu"];
      const refused = await as("create", "--start", "--isolation", "jail", ...options, "--name", "no");
      expect(refused.error).toMatchObject({
        code: "ISOLATION_UNAVAILABLE",
        message: expect.stringContaining("for root"),
      });
      expect(
        (await as("create", "--start", "--isolation", "user", ...options, "--name", "box")).error,
      ).toBeNull();
      const { data } = await as("info", "box");
      expect(data.isolation).toMatchObject({ tier: "user", whyNotNext: expect.stringContaining("for root") });
      expect(data.isolation.uid).toBeUndefined();
      expect(processGuards(data.pid)).toMatchObject({
        uid: NOBODY,
        seccomp: true,
        noNewPrivileges: true,
        capable: false,
      });
      expect(processGuards(data.pid)!.ownNamespaces).toEqual(
        expect.arrayContaining(["user", "pid", "mnt", "net"]),
      );
      const seen = filesSeenBy(data.pid);
      expect(seen.filter((path) => path.startsWith(theirs) && !path.includes("/cache/"))).toEqual([
        join(theirs, "vms", data.id, "upper.img"),
      ]);
    } finally {
      for (const name of ["box", "no"]) await as("rm", "-f", name).catch(() => {}); // what is left tells
      expect(processesNaming(theirs)).toEqual([]);
      rmSync(theirs, { recursive: true, force: true });
    }
  },
);
