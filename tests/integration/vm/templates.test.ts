import { createHash } from "node:crypto";
import {
  appendFileSync,
  chmodSync,
  existsSync,
  readdirSync,
  readFileSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterEach, beforeAll, describe, expect, test } from "vitest";
import { type Progress, SmolVM, type VMConfig } from "../../../src/index.ts";
import { openHome } from "../../../src/vm/home.ts";
import { pruneTemplates } from "../../../src/vm/templates/prune.ts";
import { small } from "../../helpers/backends.ts";
import { cli } from "../../helpers/cli.ts";
import { useTempHome } from "../../helpers/home.ts";
import { useOwnTemplates } from "../../helpers/own-templates.ts";
import { SPEED_FACTOR } from "../../helpers/speed.ts";
import { until } from "../../helpers/wait.ts";

process.env.SMOLVM_TEMPLATE = "auto";
const home = useTempHome();
const templates = useOwnTemplates(home);
const options = (more: VMConfig = {}): VMConfig => small("qemu", { template: "auto", ...more });

/** Directories of templates that are whole. */
const made = (): string[] =>
  existsSync(templates) ? readdirSync(templates).filter((name) => /^[0-9a-f]{32}$/.test(name)) : [];

afterEach(async () => {
  for (const { name } of await SmolVM.list()) await (await SmolVM.get(name)).delete({ force: true });
});

describe("the first sandbox of its kind", () => {
  test("boots, and has the template for the next made in the background, where nobody sees it", async () => {
    const heard: Progress[] = [];
    await using vm = await SmolVM.create(options({ onProgress: (progress) => heard.push(progress) }));
    expect((await vm.run("echo hi")).stdout).toBe("hi\n");
    expect((await vm.info()).startedFrom).toBe("boot");
    expect(heard.filter(({ stage }) => stage === "template").map(({ message }) => message)).toEqual([
      "not from a template: there is none yet",
    ]);
    await until("the template is there", () => made().length === 1);
    expect(await SmolVM.list()).toHaveLength(1);
    await until("its maker has ended", () => readdirSync(join(templates, "home", "vms")).length === 0);
  });
});

describe("sandboxes from a template", () => {
  beforeAll(async () => void (await SmolVM.warm(options())));

  test("have nothing of what must be each machine's own in common, and the host's time", async () => {
    const count = process.env.SMOLVM_TEST_LONG === undefined ? 5 : 20;
    const vms = await Promise.all(Array.from({ length: count }, () => SmolVM.create(options())));
    const script =
      "cat /proc/sys/kernel/random/uuid /etc/machine-id /run/smolvm/generation /etc/hostname; head -c 16 /dev/urandom | od -An -tx1; python3 -c 'import secrets, time; print(secrets.token_hex(16)); print(time.time())'";
    const before = Date.now();
    const outputs = await Promise.all(
      vms.map(async (vm) => (await vm.run(script)).stdout.trimEnd().split("\n")),
    );
    const after = Date.now();
    for (let line = 0; line < 6; line++) {
      expect(new Set(outputs.map((lines) => lines[line])).size, `line ${line}`).toBe(count);
    }
    for (const [index, lines] of outputs.entries()) {
      expect((await vms[index]!.info()).startedFrom).toBe("template");
      expect(lines[3]).toBe(vms[index]!.name);
      const clockMs = Number(lines[6]) * 1000;
      expect(clockMs).toBeGreaterThan(before - 100 * SPEED_FACTOR);
      expect(clockMs).toBeLessThan(after + 100);
    }
  });

  test("are forked with the memory that they have of it, whatever they have written, as long as that is little", async () => {
    const memoryOf = (vm: SmolVM): Promise<string[]> =>
      vm.info().then(({ pid }) =>
        readFileSync(`/proc/${pid}/maps`, "utf8")
          .split("\n")
          .filter((line) => line.includes(" rw-p 00000000 ") && / [1-9]\d* .*memory/.test(line)),
      );
    const look = "sha256sum < /dev/shm/it; wc -c < /dev/shm/much; cat /root/it";
    const fill = (bytes: number): string =>
      `head -c 1000000 /dev/urandom > /dev/shm/it; head -c ${bytes} /dev/zero > /dev/shm/much; echo ${bytes} > /root/it; sync`;
    const parent = await SmolVM.create(options());
    const inode = String(statSync(join(templates, made()[0]!, "memory")).ino);
    for (const [bytes, isShared] of [
      [0, true],
      [70_000_000, false], // more than four children may have each by itself
    ] as const) {
      await parent.run(fill(bytes), { check: true });
      const expected = (await parent.run(look)).stdout;
      const children = await parent.fork({ count: isShared ? 1 : 4 });
      const grandchildren = isShared ? await children[0]!.fork() : [];
      for (const child of [...children, ...grandchildren]) {
        expect((await child.run(look)).stdout).toBe(expected);
        const [mapped, ...others] = await memoryOf(child);
        expect(mapped?.includes(` ${inode} `)).toBe(isShared);
        expect(others).toEqual([]);
        await child.run("echo other > /root/it; echo > /dev/shm/it", { check: true });
      }
      expect((await parent.run(look)).stdout).toBe(expected);
      await Promise.all([...children, ...grandchildren].map((child) => child.delete({ force: true })));
    }
  });

  test("have a restricted network where they were made with one, and none where they were not", async () => {
    const network = { mode: "restricted", allow: ["good.test"] } as const;
    const [closed, door] = [await SmolVM.create(options()), await SmolVM.create(options({ network }))];
    const look = "cat /etc/resolv.conf; ip -o address show dev lo; ip rule";
    expect((await closed.run(look)).stdout).not.toContain("198.18.0.1");
    expect((await door.run(look)).stdout).toMatch(
      /nameserver 198\.18\.0\.1[\s\S]*inet 198\.18\.0\.1[\s\S]*lookup 5318/,
    );
    for (const vm of [closed, door]) expect((await vm.info()).startedFrom).toBe("template");
    expect((await door.run("getent ahostsv4 good.test | head -1")).stdout).toContain("198.18.0.2");
  });

  test("have a disk of their own, which stays when they are stopped and is booted from then", async () => {
    const vm = await SmolVM.create(options({ env: { WORD: "mine" } }));
    const other = await SmolVM.create(options());
    await vm.run('echo "$WORD" > /root/file');
    expect((await other.run("cat /root/file")).ok).toBe(false);
    await vm.stop();
    await vm.start();
    expect((await vm.info()).startedFrom).toBe("boot");
    expect((await vm.run("cat /root/file")).stdout).toBe("mine\n");
  });

  test("cannot change it: its memory is open to each of them for reading alone", async () => {
    const [key] = made();
    const memory = join(templates, key!, "memory");
    const before = statSync(memory);
    await using vm = await SmolVM.create(options());
    await vm.run("dd if=/dev/zero of=/dev/shm/fill bs=1M count=40");
    const { pid } = await vm.info();
    const maps = readFileSync(`/proc/${pid}/maps`, "utf8")
      .split("\n")
      .filter((line) => line.endsWith(memory));
    expect(maps.map((line) => line.split(" ")[1])).toEqual(["rw-p"]);
    const after = statSync(memory);
    expect([after.mtimeMs, after.ctimeMs, after.blocks]).toEqual([
      before.mtimeMs,
      before.ctimeMs,
      before.blocks,
    ]);
  });

  const damages: Record<string, (dir: string) => void> = {
    "memory was written to": (dir) => {
      chmodSync(join(dir, "memory"), 0o644);
      appendFileSync(join(dir, "memory"), "x");
    },
    "state is cut": (dir) => truncateSync(join(dir, "state"), 1000),
    "disk is cut": (dir) => truncateSync(join(dir, "disk.simg"), 1000),
    "state is whole by its hash, but no state": (dir) => {
      writeFileSync(join(dir, "state"), "nonsense");
      const path = join(dir, "manifest.json");
      const manifest = JSON.parse(readFileSync(path, "utf8"));
      manifest.stateSha256 = createHash("sha256").update("nonsense").digest("hex");
      writeFileSync(path, JSON.stringify(manifest));
    },
  };
  test.each(Object.entries(damages))("boot instead where its %s, and it is made again", async (_, damage) => {
    await SmolVM.warm(options());
    damage(join(templates, made()[0]!));
    await using vm = await SmolVM.create(options());
    expect((await vm.run("echo hi")).stdout).toBe("hi\n");
    expect((await vm.info()).startedFrom).toBe("boot");
    await until("it is made again", () => made().length === 1);
  });

  test("are not made where they cannot be, and `image warm` says why", async () => {
    await using vm = await SmolVM.create(options({ template: "off" }));
    expect((await vm.info()).startedFrom).toBe("boot");
    const refused = await cli(["image", "warm", "--backend", "firecracker", "--network", "off"]);
    expect(refused.code).not.toBe(0);
    const again = await cli(["image", "warm", "--network", "off", "--memory", "256M"]);
    expect([again.code, again.stderr]).toEqual([0, "The template is there already.\n"]);
  });

  test("are shown and removed by pruning, but those that running sandboxes have started from", async () => {
    await SmolVM.warm(options());
    const listed = async (): Promise<object[]> => {
      const { text } = await cli(["image", "prune", "--dry-run", "--json"]);
      return (JSON.parse(text) as { data: { kind: string }[] }).data.filter(
        ({ kind }) => kind === "template",
      );
    };
    const [key] = made();
    expect(await listed()).toEqual([
      {
        kind: "template",
        name: `debian on qemu (${key!.slice(0, 12)})`,
        path: join(templates, key!),
        sizeBytes: expect.any(Number),
        usedAt: expect.any(Number),
        removed: false,
      },
    ]);
    const every = new Set([join(templates, key!)]);
    const vm = await SmolVM.create(options());
    expect((await vm.info()).startedFrom).toBe("template");
    expect(await listed()).toEqual([]);
    expect(pruneTemplates(openHome(), every)).toEqual([]);
    await vm.delete();
    // Not by the command line: it would remove images as well, and those are not this test's.
    expect(pruneTemplates(openHome(), every)).toMatchObject([
      { kind: "template", path: join(templates, key!) },
    ]);
    expect(made()).toEqual([]);
  });
});

describe("templates that have run something", () => {
  const lines = ["echo warm >> /root/warmed"];

  test("are those of sandboxes that ask for the same, and of no others", async () => {
    await SmolVM.warm(options());
    expect(await SmolVM.warm(options({ warm: lines }))).toEqual({ made: true });
    const vm = await SmolVM.create(options({ warm: lines }));
    expect((await vm.info()).startedFrom).toBe("template");
    expect((await vm.run("sort -u /root/warmed")).stdout).toBe("warm\n");
    const other = await SmolVM.create(options());
    expect((await other.info()).startedFrom).toBe("template");
    expect((await other.run("ls /root")).stdout).toBe("");
    await expect(SmolVM.create({ warm: ["", "x"] })).rejects.toMatchObject({ code: "CONFIG_INVALID" });
  });

  test("can be those of all sandboxes of a kind, until it is said otherwise", async () => {
    const kind = ["--network", "off", "--memory", "256M"];
    const startedWith = async (): Promise<string> => {
      await using vm = await SmolVM.create(options());
      expect((await vm.info()).startedFrom).toBe("template");
      return (await vm.run("ls /root")).stdout;
    };
    const failed = await cli(["image", "warm", ...kind, "--run", "echo no >&2; exit 3"]);
    expect(failed.code).not.toBe(0);
    expect(failed.stderr).toContain("exit code 3");
    expect(await startedWith()).toBe("");
    expect(await cli(["image", "warm", ...kind, "--run", lines[0]!])).toMatchObject({ code: 0 });
    expect(await startedWith()).toBe("warmed\n");
    const own = await SmolVM.create(options({ warm: [] }));
    expect((await own.run("ls /root")).stdout).toBe("");
    expect(await cli(["image", "warm", ...kind, "--plain"])).toMatchObject({ code: 0 });
    expect(await startedWith()).toBe("");
    expect((await cli(["image", "warm", ...kind, "--plain", "--run", "true"])).code).not.toBe(0);
  });
});
