import { afterEach, describe, expect, test } from "vitest";
import { BACKEND_FEATURES } from "../../src/backends/features.ts";
import type { BackendName } from "../../src/config/spec.ts";
import { SmolVM } from "../../src/index.ts";
import { BACKENDS, hasSlirp, small } from "../helpers/backends.ts";
import { useTempHome } from "../helpers/home.ts";
import { startSshd } from "../helpers/openssh.ts";
import { scaled } from "../helpers/speed.ts";
import { until } from "../helpers/wait.ts";

useTempHome();

const able = BACKENDS.filter((backend) => BACKEND_FEATURES[backend as BackendName].snapshots);

/** What must be each machine's own, a line each. */
const IDENTITY = [
  "cat /etc/machine-id /run/smolvm/generation /proc/sys/kernel/random/uuid",
  "hostname",
  "head -c 16 /dev/urandom | od -An -tx1",
  "cut -d' ' -f2 /etc/ssh/ssh_host_ed25519_key.pub",
];
/** The card, and the addresses that follow from its own. */
const CARD = ["cat /sys/class/net/eth0/address", "ip -6 -o addr show eth0 scope link | awk '{print $4}'"];

/** The key by which a server that runs shows itself. */
const servedKey = async (vm: SmolVM, kind: string): Promise<string> =>
  (await vm.run(`ssh-keyscan -t ${kind} 127.0.0.1 2>/dev/null | cut -d' ' -f3`)).stdout.trim();

async function clockDifferenceMs(vm: SmolVM): Promise<number> {
  const before = Date.now();
  await vm.files.write("/tmp/clock", ""); // busybox's date has no more than seconds
  const after = Date.now();
  const is = (await vm.files.stat("/tmp/clock")).mtime.getTime();
  return is < before ? before - is : Math.max(0, is - after);
}

describe.each(able)("identities on %s", (backend) => {
  const network = hasSlirp(backend) ? "open" : "off";

  afterEach(async () => {
    for (const vm of await SmolVM.list()) await SmolVM.from(vm).delete({ force: true });
    for (const { name } of (await SmolVM.snapshots.list()).reverse()) await SmolVM.snapshots.delete(name);
  });

  test(
    "of twenty that go on from one moment, and of the one that they go on from, have nothing in common",
    async () => {
      const parent = await SmolVM.create(small(backend, { network, env: { LANG: "C" } }));
      await startSshd(parent, ["ed25519"]);
      const family = [parent, ...(await parent.fork({ count: 20 }))];
      // An open network needs no card where it has to be a door.
      const { way } = (await parent.info()).network;
      const lines = way === undefined || way === "door" ? IDENTITY : [...IDENTITY, ...CARD];
      const seen: string[][] = [];
      for (const vm of family) {
        expect(await clockDifferenceMs(vm)).toBeLessThan(100);
        const { stdout } = await vm.run(lines.join("\n"));
        const served = await until("its server has begun anew", () => servedKey(vm, "ed25519"));
        const found = stdout.trim().split("\n");
        expect(found.length).toBe(lines.length + 2); // the first prints three
        expect(found[5]).toBe(served); // what is in memory is what is on the disk
        seen.push(found);
      }
      for (const column of seen[0]!.keys())
        expect(new Set(seen.map((found) => found[column])).size, `line ${column}`).toBe(family.length);
    },
    scaled(180_000),
  );

  test(
    "SSH host keys that take long come later, also when the machine that makes them is gone on from meanwhile; a sandbox that boots again keeps its own",
    async () => {
      const parent = await SmolVM.create(small(backend));
      await startSshd(parent, ["ed25519", "rsa"]);
      const rsa = await servedKey(parent, "rsa");
      expect(rsa).not.toBe("");
      const [child] = await parent.fork();
      const [grandchild] = await child!.fork(); // the child's is hardly made yet
      const made: string[] = [rsa];
      for (const vm of [child!, grandchild!]) {
        // It gives way to all others, so what waits for it must not keep the processor busy.
        await vm.run("until [ -s /etc/ssh/ssh_host_rsa_key.pub ]; do sleep 1; done", {
          timeoutMs: scaled(60_000),
        });
        made.push(await until("it is served", () => servedKey(vm, "rsa")));
      }
      expect(new Set(made).size).toBe(3);

      const own = await child!.run("cat /etc/ssh/ssh_host_*_key.pub");
      await child!.stop();
      await child!.start();
      expect(await child!.run("cat /etc/ssh/ssh_host_*_key.pub")).toMatchObject({ stdout: own.stdout });

      // A disk alone has its keys, too.
      await parent.snapshot("disk", { kind: "disk" });
      const booted = await SmolVM.restore("disk");
      const key = "cat /etc/ssh/ssh_host_ed25519_key.pub";
      expect((await booted.run(key)).stdout).not.toBe((await parent.run(key)).stdout);
    },
    scaled(240_000),
  );

  test(
    "pipes in the place of the machine's own files are replaced or passed over: the agent, which alone serves the machine, waits for nobody",
    async () => {
      const parent = await SmolVM.create(small(backend));
      const files = "/etc/machine-id /etc/hostname /etc/hosts /run/smolvm/generation";
      await parent.run(
        `rm -f ${files} && mkfifo ${files} && mkdir -p /etc/ssh/ssh_host_ed25519_key && mkfifo /etc/ssh/ssh_host_rsa_key`,
        { check: true },
      );
      const [child] = await parent.fork({ timeoutMs: scaled(20_000) });
      expect(
        (await child!.run(`cat /etc/machine-id /run/smolvm/generation; ls -l ${files} | cut -c1`)).stdout,
      ).toMatch(/^[0-9a-f]{32}\n[0-9a-f]{32}\n(-\n){4}$/);
      await child!.run("rm -f /etc/passwd /etc/group && mkfifo /etc/passwd /etc/group", { check: true });
      // Users are numbers then, and a name is an error at once.
      expect((await child!.run("id -u", { user: "7" })).stdout).toBe("7\n");
      await expect(child!.run("true", { user: "nobody" })).rejects.toMatchObject({ code: "CONFIG_INVALID" });
      expect((await child!.run("echo alive")).stdout).toBe("alive\n");
    },
    scaled(120_000),
  );
});
