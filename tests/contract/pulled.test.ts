import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { processPaths } from "../../src/host/files/paths.ts";
import { GO_ARCH } from "../../src/images/oci/platform.ts";
import { imageLayout } from "../../src/images/store/layout.ts";
import { readImage, removeImage } from "../../src/images/store/store.ts";
import { SmolVM } from "../../src/index.ts";
import { ARCH, BACKENDS, small } from "../helpers/backends.ts";
import { BUSYBOX } from "../helpers/busybox.ts";
import { cli } from "../helpers/cli.ts";
import { useTempHome } from "../helpers/home.ts";
import { type LayerEntry, writeLayout } from "../helpers/layers.ts";
import { systemdTar } from "../helpers/systemd.ts";

useTempHome();
const LONG = process.env.SMOLVM_TEST_LONG !== undefined;

const COMMANDS = ["sh", "stat", "id", "pwd", "cat", "ls", "echo", "env", "mknod", "test"];

const FILES: readonly (readonly LayerEntry[])[] = [
  [
    { path: "./" },
    { path: "bin/" },
    { path: "bin/busybox", content: BUSYBOX, mode: 0o755 },
    ...COMMANDS.map((name) => ({ path: `bin/${name}`, type: "2", target: "busybox" })),
    { path: "etc/" },
    { path: "etc/passwd", content: "app:x:70000:70001::/home/app:/bin/sh\n" },
    { path: "etc/group", content: "web:x:5000:\n" },
    { path: "f/" },
    { path: "f/gone", content: "lower" },
    { path: "f/linked", content: "shared" },
    { path: "f/owned", content: "o", uid: 3_000_000, gid: 70_000, mode: 0o640, mtime: 1_234_567_890 },
    { path: "f/set", content: "s", mode: 0o4755 },
    { path: "f/device", type: "3", major: 259, minor: 70_000 },
    { path: "f/pipe", type: "6" },
    { path: "f/long", type: "2", target: "t".repeat(300) },
    { path: "f/large", content: Buffer.alloc(1_000_001, "large\n") },
    { path: "f/zeros", content: Buffer.alloc(500_000) },
    { path: "many/" },
    ...Array.from({ length: 400 }, (_, index) => ({
      path: `many/a-name-of-some-length-${index}`,
      content: `${index}`,
    })),
  ],
  [
    { path: "f/.wh.gone" },
    { path: "f/again", type: "1", target: "f/linked" },
    { path: "f/\xff", content: "bytes" },
  ],
];

let directory: string;
const names: string[] = [];
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "smolvm-pulled-"));
});
afterAll(async () => {
  // The cache is the user's: what was pulled into it goes, blobs and all.
  const paths = processPaths();
  for (const name of names) {
    const origin = (await readImage(paths, name, ARCH))?.image.origin;
    await removeImage(paths, name, ARCH, () => []).catch(() => {}); // a test that failed has pulled nothing
    for (const { digest } of [
      { digest: origin?.manifest },
      { digest: origin?.configDigest },
      ...(origin?.layers ?? []),
    ])
      if (digest !== undefined) rmSync(imageLayout(paths).blob(digest), { force: true });
  }
  rmSync(directory, { recursive: true, force: true });
});

function image(
  name: string,
  layers: readonly (readonly LayerEntry[] | Buffer)[],
  config: Record<string, unknown>,
): string {
  const layout = join(directory, name);
  writeLayout(layout, { layers, config, architecture: GO_ARCH[ARCH] });
  names.push(`oci:${layout}`);
  return `oci:${layout}`;
}

// What is in the image is this machine's busybox.
describe.skipIf(ARCH !== "x86_64").each(BACKENDS)("an image from elsewhere on %s", (backend) => {
  test("has the files that its layers say, as the guest's kernel sees them", async () => {
    await using vm = await SmolVM.create(
      small(backend, { image: image("files", FILES, { Env: ["PATH=/bin"] }) }),
    );
    const stat = async (format: string, ...files: string[]) =>
      (
        await vm.run(["stat", "-c", format, ...files.map((file) => `/f/${file}`)], { check: true })
      ).stdout.trim();
    expect(await stat("%a %u:%g %Y %s", "owned")).toBe("640 3000000:70000 1234567890 1");
    expect(await stat("%a", "set")).toBe("4755");
    expect(await stat("%F %t:%T", "device")).toBe("character special file 103:11170");
    expect(await stat("%F", "pipe")).toBe("fifo");
    expect(await stat("%h", "linked", "again")).toBe("2\n2");
    const [one, other] = (await stat("%i", "linked", "again")).split("\n");
    expect(one).toBe(other);
    expect((await vm.run("readlink /f/long || stat -c %N /f/long")).stdout).toContain("t".repeat(300));
    expect(Buffer.from(await vm.files.read("/f/large")).equals(Buffer.alloc(1_000_001, "large\n"))).toBe(
      true,
    );
    expect(Buffer.from(await vm.files.read("/f/zeros")).equals(Buffer.alloc(500_000))).toBe(true);
    const listed = await vm.run(
      `ls /many | busybox wc -l; cat /many/*-399 /many/*-0; cat "$(busybox printf '/f/\\377')"`,
    );
    expect(listed.stdout).toBe("400\n3990bytes");
    expect(await vm.files.exists("/f/gone")).toBe(false);
    // It can be written, and what is there by nobody's doing is there.
    await vm.run(
      "echo more >> /f/large && test -d /proc/1 && test -d /tmp && test -c /dev/null && echo x > /tmp/x",
      { check: true },
    );
  });

  test("is run as it says: environment, user, directory, entrypoint and command", async () => {
    const config = {
      Env: ["PATH=/bin", "GREETING=hello there"],
      User: "app:web",
      WorkingDir: "/srv/app",
      Entrypoint: ["/bin/sh", "-c"],
      Cmd: ["echo $GREETING from $0; id; pwd", "me"],
      Volumes: { "/data": {} },
    };
    const name = image("config", FILES, config);
    const options = ["--backend", backend, "--network", "off", "--memory", "256M"];
    const alone = await cli(["run", "--quiet", ...options, "--image", name]);
    expect(alone.text).toBe("hello there from me\nuid=70000(app) gid=5000(web) groups=5000(web)\n/srv/app\n");
    const other = await cli([
      "run",
      "--quiet",
      ...options,
      "--image",
      name,
      "--user",
      "0",
      "--env",
      "GREETING=bye",
      "--entrypoint",
      "/bin/sh",
      "--",
      "-c",
      "echo $GREETING; id -u; test -d /data && echo volume",
    ]);
    expect(other.text).toBe("bye\n0\nvolume\n");
    await using vm = await SmolVM.create(small(backend, { image: name, pull: "never" }));
    expect(await vm.info()).toMatchObject({
      image: name,
      imageCommand: [...config.Entrypoint, ...config.Cmd],
    });
    expect((await vm.run("id -u; pwd; echo $GREETING")).stdout).toBe("70000\n/srv/app\nhello there\n");
  });

  test("that says no directory is run in the root, as by Docker", async () => {
    const name = image("nowhere", FILES, { Env: ["PATH=/bin"], Cmd: ["./bin/pwd"] });
    const options = ["--backend", backend, "--network", "off", "--memory", "256M"];
    const alone = await cli(["run", "--quiet", ...options, "--image", name]);
    expect(alone.text).toBe("/\n");
  });

  test("has its ports forwarded, its labels and its health check shown, and is stopped by its signal", async () => {
    const config = {
      Env: ["PATH=/bin"],
      Cmd: [
        "/bin/sh",
        "-c",
        "trap 'echo asked > /asked; exit' QUIT; trap '' TERM; busybox httpd -p 8000 -h /; while :; do busybox sleep 1; done",
      ],
      ExposedPorts: { "8000/tcp": {}, "9000/tcp": {}, "53/udp": {} },
      Labels: { "org.example.team": "red", "org.example.other": "image" },
      Healthcheck: { Test: ["CMD", "/bin/test", "-f", "/ok"], Interval: 30_000_000_000, Retries: 3 },
      StopSignal: "SIGQUIT",
    };
    const name = image("says", FILES, config);
    await using vm = await SmolVM.create(
      small(backend, {
        image: name,
        publishAll: true,
        ports: [{ guestPort: 9000 }],
        labels: { "org.example.other": "own" },
        lifetime: "owner",
      }),
    );
    const info = await vm.info();
    expect(info).toMatchObject({
      imagePorts: ["53/udp", "8000/tcp", "9000/tcp"],
      healthCheck: { command: ["/bin/test", "-f", "/ok"], intervalMs: 30_000, retries: 3 },
      stopSignal: "SIGQUIT",
      labels: { "org.example.team": "red", "org.example.other": "own" },
    });
    expect(info.ports.map(({ guestPort }) => guestPort).sort()).toEqual([8000, 9000]);
    expect(info.ports.every(({ hostAddress }) => hostAddress === "127.0.0.1")).toBe(true);
    vm.spawn(info.imageCommand!, { detached: true });
    await vm.files.write("/index.html", "served");
    const { url } = vm.ports.list().find(({ guestPort }) => guestPort === 8000)!;
    const served = async (): Promise<string> => (await fetch(`${url}/index.html`)).text();
    await expect.poll(() => served().catch(String), { timeout: 20_000 }).toBe("served");
    await vm.stop();
    await vm.start();
    expect(await vm.files.readText("/asked")).toBe("asked\n");
  });

  test("has a user by number without an entry in the group of root", async () => {
    const name = image("numbered", FILES, { Env: ["PATH=/bin"], User: "1234" });
    await using vm = await SmolVM.create(small(backend, { image: name }));
    expect((await vm.run("id")).stdout).toBe("uid=1234 gid=0 groups=0\n");
    expect((await vm.run("id", { user: "1234:5000" })).stdout).toBe(
      "uid=1234 gid=5000(web) groups=5000(web)\n",
    );
  });

  test("with an init of its own boots that beside the agent, and commands are in its namespaces", async () => {
    const init = [
      "#!/bin/sh",
      "echo as $$ with $container > /first",
      "trap 'echo asked > /asked; exit' TERM",
      "trap exit USR1",
      "test ! -f /asked || echo > /started",
      "while :; do busybox sleep 0.2; done",
    ].join("\n");
    const layers = [...FILES, [{ path: "sbin/init", content: init, mode: 0o755 }]];
    const name = image("init", layers, { Env: ["PATH=/bin"], Cmd: ["/sbin/init"] });
    await using vm = await SmolVM.create(small(backend, { image: name, init: "image" }));
    expect(await vm.info()).toMatchObject({ init: true, imageCommand: undefined });
    await expect
      .poll(() => vm.files.readText("/first").catch(() => ""), { timeout: 20_000 })
      .toBe("as 1 with smolvm\n");
    const seen = await vm.run(
      "cat /proc/1/comm; cat /proc/1/cgroup; cat /proc/self/cgroup; ls /proc/1/ns >/dev/null && echo ok",
    );
    expect(seen.stdout).toMatch(/^init\n0::\/\n0::\/\.\.\/\d+\nok\n$/);
    // Mounts are one, whoever makes them; the two that are the init's own are not the agent's.
    await vm.run("busybox mkdir /m && busybox mount -t tmpfs none /m && echo mounted > /m/f && id -u", {
      check: true,
    });
    expect(await vm.files.readText("/m/f")).toBe("mounted\n");
    expect((await vm.run("id -u", { user: "app" })).stdout).toBe("70000\n");
    expect((await vm.processes.list()).map(({ argv }) => argv[0])).toContain("/sbin/init");
    await vm.stop();
    await vm.start();
    expect(await vm.files.readText("/asked")).toBe("asked\n");
    // Its end is the machine's.
    await vm
      .run("until test -f /started; do busybox sleep 0.1; done; kill -USR1 1; busybox sleep 5")
      .catch(() => {});
    await expect.poll(async () => (await vm.info()).state, { timeout: 20_000 }).not.toBe("running");
  });

  test("is refused an init that it has not", async () => {
    const name = image("no-init", FILES, { Env: ["PATH=/bin"] });
    await expect(SmolVM.create(small(backend, { image: name, init: "image" }))).rejects.toMatchObject({
      code: "NOT_SUPPORTED",
      message: expect.stringContaining("no init"),
    });
  });

  // Fetches Debian's packages once: half a minute.
  test.runIf(LONG)("with systemd boots that, and systemctl works", async () => {
    const name = image("systemd", [readFileSync(await systemdTar())], {
      Cmd: ["/lib/systemd/systemd"],
      StopSignal: "SIGRTMIN+3",
    });
    await using vm = await SmolVM.create(small(backend, { image: name, init: "image", memSizeMib: 512 }));
    const state = async (): Promise<string> => (await vm.run("systemctl is-system-running")).stdout.trim();
    await expect.poll(state, { timeout: 120_000, interval: 1000 }).toBe("running");
    expect((await vm.run("systemctl --failed --no-legend")).stdout).toBe("");
    await vm.run("systemd-run --wait --unit=own sh -c 'cat /proc/self/cgroup > /own'", { check: true });
    expect(await vm.files.readText("/own")).toBe("0::/system.slice/own.service\n");
    expect((await vm.run("systemctl start nosuch")).exitCode).toBe(5);
    const [copy] = await vm.fork({ count: 1 });
    await using other = copy!;
    expect((await other.run("cat /proc/1/comm; systemctl is-system-running")).stdout).toBe(
      "systemd\nrunning\n",
    );
    await vm.run("systemctl poweroff").catch(() => {});
    await expect.poll(async () => (await vm.info()).state, { timeout: 30_000 }).not.toBe("running");
  });

  test("of one program and nothing else boots", async () => {
    const name = image("scratch", [[{ path: "echo", content: BUSYBOX, mode: 0o755 }]], {
      Entrypoint: ["/echo", "static"],
      User: "65532",
    });
    const run = await cli([
      "run",
      "--quiet",
      "--backend",
      backend,
      "--network",
      "off",
      "--memory",
      "256M",
      "--image",
      name,
    ]);
    expect(`${run.text}${run.stderr}`).toBe("static\n");
    await using vm = await SmolVM.create(small(backend, { image: name, user: "0" }));
    await expect(vm.run(["/bin/sh"])).rejects.toMatchObject({ code: "COMMAND_NOT_FOUND" });
    await vm.files.write("/tmp/written", "written");
    expect(await vm.files.readText("/tmp/written")).toBe("written");
    expect(await vm.files.readText("/etc/hostname")).toBe(`${vm.name}\n`);
  });
});
