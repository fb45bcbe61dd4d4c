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
import { cli } from "../helpers/cli.ts";
import { useTempHome } from "../helpers/home.ts";
import { type LayerEntry, writeLayout } from "../helpers/layers.ts";

useTempHome();

/** One static program that is all commands, from Debian's busybox-static: the image is for this machine's architecture. */
const BUSYBOX = readFileSync("/bin/busybox");
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
  layers: readonly (readonly LayerEntry[])[],
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
