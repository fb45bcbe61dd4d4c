import { execFileSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { processPaths } from "../../src/host/files/paths.ts";
import { GO_ARCH } from "../../src/images/oci/platform.ts";
import { imageLayout } from "../../src/images/store/layout.ts";
import { isStageImage } from "../../src/images/store/reference.ts";
import { listImages, readImage } from "../../src/images/store/store.ts";
import { type BuildEvent, type BuildOptions, images, SmolVM } from "../../src/index.ts";
import { ARCH, BACKENDS, small } from "../helpers/backends.ts";
import { BUSYBOX } from "../helpers/busybox.ts";
import { cli } from "../helpers/cli.ts";
import { startDockerRegistry } from "../helpers/docker-registry.ts";
import { forgetImage } from "../helpers/forget-image.ts";
import { useTempHome } from "../helpers/home.ts";
import { KILLED } from "../helpers/killed.ts";
import { type LayerEntry, layerTar, writeLayout } from "../helpers/layers.ts";
import { TAR_BZIP2, TAR_SEVERAL_XZ, TAR_XZ } from "../helpers/packed-tar.ts";
import { readErofs, type SeenFile } from "../helpers/read-erofs.ts";

useTempHome();

const COMMANDS = [
  "sh",
  "cat",
  "ls",
  "echo",
  "env",
  "id",
  "stat",
  "test",
  "rm",
  "mkdir",
  "mv",
  "ln",
  "true",
  "pwd",
  "chmod",
  "printf",
  "sleep",
  "date",
];
const LAYER: readonly LayerEntry[] = [
  { path: "./" },
  { path: "bin/" },
  { path: "bin/busybox", content: BUSYBOX, mode: 0o755 },
  ...COMMANDS.map((name) => ({ path: `bin/${name}`, type: "2", target: "busybox" })),
  { path: "etc/" },
  { path: "etc/passwd", content: "root:x:0:0::/:/bin/sh\napp:x:1000:2000::/:/bin/sh\n" },
  { path: "etc/group", content: "web:x:5000:\n" },
  { path: "below", content: "of the image below" },
];

const startedAt = Date.now();
let directory: string;
let base: string;
const names: string[] = [];
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "smolvm-build-"));
  const layout = join(directory, "layout");
  writeLayout(layout, {
    layers: [LAYER],
    architecture: GO_ARCH[ARCH],
    config: {
      Env: ["PATH=/bin", "LOW=1"],
      Cmd: ["ls"],
      Labels: { of: `${startedAt}` },
      OnBuild: ["RUN echo trigger > /triggered"],
    },
  });
  base = `oci:${layout.replaceAll("\\", "/")}`; // in a Dockerfile a backslash is another thing
  names.push(base);
});
afterAll(async () => {
  // The cache is the user's: what was put into it goes, layers and all.
  const paths = processPaths();
  for (const name of names) await forgetImage(paths, name, ARCH);
  const { buildSteps, buildCaches, blob, ref } = imageLayout(paths);
  for (const name of existsSync(buildCaches) ? readdirSync(buildCaches) : [])
    if (statSync(join(buildCaches, name)).mtimeMs >= startedAt) rmSync(join(buildCaches, name));
  for (const { name, arch } of await listImages({ cacheDir: paths.cacheDir }))
    if (isStageImage(name) && statSync(ref(name, arch)).mtimeMs >= startedAt)
      await forgetImage(paths, name, arch);
  for (const name of readdirSync(buildSteps)) {
    const step = join(buildSteps, name);
    if (statSync(step).mtimeMs < startedAt) continue;
    const { layer } = JSON.parse(readFileSync(step, "utf8"));
    if (layer !== undefined) rmSync(blob(layer.descriptor.digest), { force: true });
    rmSync(step);
  }
  rmSync(directory, { recursive: true, force: true });
});

/** What a file of the context has that was given none: Windows knows no modes, and there all is as in images that Docker builds there. */
const FILE_MODE = process.platform === "win32" ? "755" : "644";

const OPTIONS: BuildOptions = { network: "off", memSizeMib: 256 };

/** A context with these files. */
function context(name: string, files: Readonly<Record<string, string | Buffer>>): string {
  const root = join(directory, name);
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(join(root, path, ".."), { recursive: true });
    writeFileSync(join(root, path), content);
  }
  return root;
}

async function build(root: string, options: BuildOptions = {}) {
  const tag = `build-test-${names.length}`;
  names.push(tag);
  const events: BuildEvent[] = [];
  const unpacked = new Set<string>();
  const built = await images.build(root, {
    ...OPTIONS,
    tags: [tag],
    onEvent: (event) => events.push(event),
    onProgress: ({ stage, message }) => stage === "unpack" && unpacked.add(message),
    ...options,
  });
  return { ...built, events, unpacked };
}

// What is in the image is this machine's busybox.
describe.skipIf(ARCH !== "x86_64").each(BACKENDS.slice(0, 1))("an image that is built on %s", (backend) => {
  const DOCKERFILE = (from: string) => String.raw`# syntax=docker/dockerfile:1
ARG FROM=${from}
FROM $FROM AS first
ARG WHO=nobody
ENV A="one two" B=b\
 # between
 C='$A'
ENV OLD form of it
LABEL a.b="c d" e=$LOW
WORKDIR /work/$LOW
WORKDIR deep
COPY --chown=app:web --chmod=640 a.txt sub/ ./
COPY sub /plain/
COPY --chown=7 a.txt /renamed
COPY <<one <<-"two" /docs/
is $WHO \$5
one
	is $WHO
	two
ADD packed.tgz /unpacked/
RUN echo "$WHO $A" > who && rm /below && test -f /triggered; sleep 100 &
RUN ["/bin/sh", "-c", "echo $0 list > list", "arg"]
RUN <<EOF
set -e
echo script > script
false || echo heredoc >> script
EOF
SHELL ["/bin/sh", "-e", "-c"]
RUN false; echo never > /never || true
`;

  const FILES = {
    "a.txt": "a",
    "sub/s.txt": "s",
    "sub/.hidden": "h",
    "sub/more/deep.txt": "d",
    "sub/left.out": "no",
    ".dockerignore": "**/*.out\n!sub/kept.out\nDockerfile*\n",
    "packed.tgz": gzipSync(
      layerTar([{ path: "d/" }, { path: "d/owned", content: "o", uid: 12, gid: 34, mode: 0o600 }]),
    ),
  };

  test("has the files and the config that its instructions say, and is known the next time", async () => {
    const text = DOCKERFILE(base).replace("RUN false; echo never > /never || true\n", "");
    const second = `FROM first AS second
COPY --from=first --chown=1:2 /work/1/deep/who /plain/more /taken/
COPY --from=${base} /bin/bus* /from-image/
USER app
EXPOSE 80 1000-1001/udp
VOLUME ["/data"]
STOPSIGNAL SIGINT
HEALTHCHECK --interval=1m30s --retries=2 CMD test -f /x
ONBUILD RUN later
ENTRYPOINT ["/bin/sh", "-c"]
CMD echo hi
FROM first AS unused
ARG UNUSED
RUN false
`;
    const root = context("all", { ...FILES, Dockerfile: text + second });
    const buildArgs = { FROM: base, WHO: "you", UNUSED: "1", NOBODY: "wants" };
    const made = await build(root, { buildArgs, target: "second" });
    expect(made.warnings).toEqual(["no ARG declares NOBODY"]);
    await using vm = await SmolVM.create(small(backend, { image: made.name, user: "root", workdir: "/" }));
    const say = async (line: string) => (await vm.run(["sh", "-c", line], { check: true })).stdout;
    expect(await say("cd /work/1/deep && stat -c '%n %a %u:%g' a.txt s.txt more/deep.txt .hidden; ls")).toBe(
      "a.txt 640 1000:5000\ns.txt 640 1000:5000\nmore/deep.txt 640 1000:5000\n.hidden 640 1000:5000\na.txt\nlist\nmore\ns.txt\nscript\nwho\n",
    );
    expect(await say("stat -c '%a %u:%g' /plain/s.txt /renamed; ls -A /plain")).toBe(
      `${FILE_MODE} 0:0\n${FILE_MODE} 7:7\n.hidden\nmore\ns.txt\n`,
    );
    expect(await say("cat /docs/one /docs/two")).toBe("is you $5\nis $WHO\n");
    expect(await say("stat -c '%a %u:%g' /unpacked/d/owned")).toBe("600 12:34\n");
    expect(await say("cd /work/1/deep; cat who list script; ls -d /below /triggered 2>&1 || true")).toBe(
      "you one two\narg list\nscript\nheredoc\nls: /below: No such file or directory\n/triggered\n",
    );
    expect(await say("cd /taken; stat -c '%n %u:%g' who deep.txt; ls /from-image")).toBe(
      "who 1:2\ndeep.txt 1:2\nbusybox\n",
    );
    const { image } = (await readImage(processPaths(), made.name, ARCH))!;
    expect(image.origin!.config).toMatchObject({
      env: { PATH: "/bin", LOW: "1", A: "one two", B: "b", C: "$A", OLD: "form of it" },
      user: "app",
      workdir: "/work/1/deep",
      entrypoint: ["/bin/sh", "-c"],
      cmd: ["/bin/sh", "-e", "-c", "echo hi"],
      exposedPorts: ["1000/udp", "1001/udp", "80/tcp"],
      volumes: ["/data"],
      labels: { "a.b": "c d", e: "1", of: `${startedAt}` },
      stopSignal: "SIGINT",
    });
    const config = JSON.parse(
      readFileSync(imageLayout(processPaths()).blob(image.origin!.configDigest), "utf8"),
    );
    expect(config.config).toMatchObject({
      Healthcheck: { Test: ["CMD", "/bin/sh", "-e", "-c", "test -f /x"], Interval: 90e9, Retries: 2 },
      OnBuild: ["RUN later"],
      Shell: ["/bin/sh", "-e", "-c"],
    });
    expect(config.history.filter((one: { empty_layer?: boolean }) => !one.empty_layer)).toHaveLength(
      image.origin!.layers.length - 1, // the image below says nothing of how it was made
    );

    // The same again is the same, and nothing is carried out; a file that has changed is a step, and those behind it.
    const again = await build(root, { buildArgs: { WHO: "you" }, target: "second" });
    expect(again.digest).toBe(made.digest);
    expect(again.steps).toEqual({ carriedOut: 0, cached: made.steps.carriedOut });
    writeFileSync(join(root, "sub/left.out"), "is not looked at");
    writeFileSync(join(root, "packed.tgz"), gzipSync(layerTar([{ path: "other", content: "o" }])));
    const changed = await build(root, { buildArgs: { WHO: "you" }, target: "second" });
    expect(changed.steps.carriedOut).toBeLessThan(made.steps.carriedOut);
    const first = changed.events.findIndex((event) => event.type === "done" && !event.cached);
    expect(changed.events[first - 1]).toMatchObject({
      type: "start",
      instruction: "ADD packed.tgz /unpacked/",
    });
    // What that has booted from is kept: the next one makes only what its second stage boots from.
    writeFileSync(join(root, "packed.tgz"), gzipSync(layerTar([{ path: "third", content: "o" }])));
    const third = await build(root, { buildArgs: { WHO: "you" }, target: "second" });
    expect([...changed.unpacked].filter((what) => what.includes("build-stage-"))).toHaveLength(2);
    expect([...third.unpacked].filter((what) => what.includes("build-stage-"))).toHaveLength(1);
    // The image that had the name goes with it, and one that has another stays.
    const before = (await readImage(processPaths(), third.name, ARCH))!.image;
    writeFileSync(join(root, "packed.tgz"), gzipSync(layerTar([{ path: "fourth", content: "o" }])));
    await build(root, { buildArgs: { WHO: "you" }, target: "second", tags: [third.name] });
    expect(existsSync(before.directory)).toBe(false);
    expect(existsSync((await readImage(processPaths(), changed.name, ARCH))!.image.directory)).toBe(true);
    // Nothing runs any more.
    expect((await SmolVM.list()).filter(({ name }) => name.startsWith("build-"))).toEqual([]);
  });

  test("a step that fails says which, with its line and what it printed", async () => {
    const root = context("fails", {
      Dockerfile: `FROM ${base}\nRUN true\n\n# why\nRUN echo printed && \\\n  cat /nothing\n`,
    });
    await expect(build(root)).rejects.toMatchObject({
      code: "STEP_FAILED",
      message: "Dockerfile:5: RUN echo printed && cat /nothing: exit code 1",
      details: {
        line: 5,
        exitCode: 1,
        output: expect.stringContaining("printed\ncat: can't open '/nothing'"),
      },
    });
    const run = await cli(["image", "build", "--network", "off", "-t", "mine", root]);
    expect(run.code).toBe(1);
    expect(run.stderr).toContain("#2 [stage-0 2/3] RUN true\n#2 CACHED");
    expect(run.stderr).toMatch(/#3 [\d.]+ printed\n/);
    expect(run.stderr).toContain("Dockerfile:5: RUN echo printed");
  });

  test("what a step has mounted is of no layer; a cache is kept, a secret is not", async () => {
    const root = context("mounts", {
      Dockerfile: `FROM ${base} AS other
RUN mkdir /given && echo given > /given/file
FROM ${base}
RUN --mount=type=cache,target=/caches/one echo $(cat /caches/one/count 2> /dev/null)x > /caches/one/count && cat /caches/one/count > /count
RUN --mount=type=cache,target=/caches/one test "$(cat /caches/one/count)" = "$(cat /count)" && echo own > /caches/own
RUN --mount=type=secret,id=token,uid=1000 --mount=type=secret,id=key,env=KEY \
    --mount=target=/context --mount=type=bind,from=other,source=/given/file,target=/a/file --mount=type=tmpfs,target=/t,size=1m \
    id > /who; cat /run/secrets/token | busybox wc -c > /seen; echo \${#KEY} >> /seen; cat /context/a.txt /a/file >> /seen; \
    echo no > /context/x || echo is read-only >> /seen; echo x > /t/x
USER app
RUN --network=none --mount=type=secret,id=token,uid=1000 --mount=type=secret,id=token,target=/s,mode=0444 pwd > /tmp/me; id -u >> /tmp/me; echo $HOME >> /tmp/me; busybox ifconfig | busybox grep -c encap >> /tmp/me; cat /s >> /tmp/me; cat /run/secrets/token > /dev/null && echo may read >> /tmp/me
`,
      "a.txt": "of the context\n",
    });
    const secrets = { token: "top-secret", key: Buffer.from("12345") };
    const cacheOf = Date.now();
    const file = join(root, "Dockerfile");
    writeFileSync(
      file,
      readFileSync(file, "utf8").replaceAll("target=/caches/one", `id=test-${cacheOf},target=/caches/one`),
    );
    const one = await build(root, { secrets });
    await using vm = await SmolVM.create(small(backend, { image: one.name, user: "0" }));
    expect(await vm.files.readText("/seen")).toBe("10\n5\nof the context\ngiven\nis read-only\n");
    expect(await vm.files.readText("/tmp/me")).toBe("/\n1000\n/\n1\ntop-secretmay read\n");
    expect(await vm.files.readText("/count")).toBe("x\n");
    expect((await vm.run(["ls", "-A", "/caches"])).stdout).toBe("own\n");
    for (const path of ["/.smolvm-build", "/context", "/a", "/t", "/s"])
      expect(await vm.files.exists(path), path).toBe(false);
    expect((await build(root, { secrets: {} })).steps.carriedOut).toBe(0);
    const again = await build(root, { secrets, noCache: true });
    await using second = await SmolVM.create(small(backend, { image: again.name, user: "0" }));
    expect(await second.files.readText("/count")).toBe("xx\n");
    const { buildCaches } = imageLayout(processPaths());
    for (const name of readdirSync(buildCaches))
      if (statSync(join(buildCaches, name)).mtimeMs >= cacheOf) rmSync(join(buildCaches, name));
  });

  test("COPY keeps the directories above what it copies, and leaves out what is excluded, of the context and of a stage", async () => {
    const root = context("parents", {
      Dockerfile: `FROM ${base} AS made
RUN mkdir -p /made/one/two /made/other && chmod 751 /made/one && busybox chown 7:8 /made/one && echo 1 > /made/one/two/f && ln /made/one/two/f /made/one/zlink && echo 2 > /made/other/g.md && ln -s two /made/one/link
FROM ${base}
RUN mkdir -p /to/pack && chmod 700 /to/pack
COPY --parents --chown=3:4 pack/*/package.json top.json no*thing /to/
COPY --exclude=*.md --exclude=more . /rest/
COPY --parents --from=made /made/one/./two/f /made/other/*.md /made/one/link /nothing/*.x /kept/
COPY --parents --from=made /made/./**/f /deep/
COPY --from=made --exclude=two/f /made/one /filtered/
ADD --exclude=*.json . /added
`,
      "pack/a/package.json": "a",
      "pack/a/index.js": "no",
      "pack/b/package.json": "b",
      "top.json": "top",
      "read.md": "no",
      "more/deep.txt": "no",
    });
    const made = await build(root);
    expect(made.warnings).toEqual([
      "Dockerfile:5: 'no*thing' matches nothing in the context",
      "Dockerfile:7: '/nothing/*.x' matches nothing in 'made'",
    ]);
    await using vm = await SmolVM.create(small(backend, { image: made.name, user: "0" }));
    const tree = async (path: string) => {
      const list = `cd ${path}; busybox find . | busybox sort | while read -r name; do echo "$name $(stat -c '%a %u:%g' "$name")"; done`;
      return (await vm.run(["sh", "-c", list], { check: true })).stdout.trim().split("\n").slice(1);
    };
    expect(await tree("/to")).toEqual([
      "./pack 700 0:0",
      "./pack/a 755 3:4",
      `./pack/a/package.json ${FILE_MODE} 3:4`,
      "./pack/b 755 3:4",
      `./pack/b/package.json ${FILE_MODE} 3:4`,
      `./top.json ${FILE_MODE} 3:4`,
    ]);
    const names = async (path: string) => (await tree(path)).map((line) => line.split(" ")[0]!.slice(2));
    expect(await names("/rest")).toEqual([
      ...["Dockerfile", "pack", "pack/a", "pack/a/index.js", "pack/a/package.json"],
      ...["pack/b", "pack/b/package.json", "top.json"],
    ]);
    expect(await tree("/kept")).toEqual([
      "./made 755 0:0",
      "./made/one 751 7:8",
      "./made/one/link 777 0:0",
      "./made/other 755 0:0",
      "./made/other/g.md 644 0:0",
      "./two 755 0:0",
      "./two/f 644 0:0",
    ]);
    expect(await tree("/deep")).toEqual(["./one 751 7:8", "./one/two 755 0:0", "./one/two/f 644 0:0"]);
    // Its content came under the name that is left out.
    expect(await names("/filtered")).toEqual(["link", "two", "zlink"]);
    expect(await vm.files.readText("/filtered/zlink")).toBe("1\n");
    expect(await names("/added")).toEqual([
      ...["Dockerfile", "more", "more/deep.txt", "pack", "pack/a", "pack/a/index.js", "pack/a/package.json"],
      ...["pack/b", "pack/b/package.json", "read.md"],
    ]);
    expect((await build(root)).steps.carriedOut).toBe(0);
  });

  test("extended attributes, capabilities among them, go where their files go, and a pattern may be of any part of a path", async () => {
    const root = context("attributes", {
      Dockerfile: `FROM ${base} AS made
ADD with.tar /made/
RUN ln -s program /made/link && echo below > /made/d/below
FROM ${base}
COPY --from=made /made/program /made/link /one/
COPY --from=made --chown=3:4 /made /all
COPY --from=made /m*e/?/* /parts/
COPY --from=made /none/*/* /none/
`,
    });
    const pax = {
      "SCHILY.xattr.user.of": "it",
      "SCHILY.xattr.security.capability": "\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
    };
    const program = { path: "program", content: "program", mode: 0o755, pax };
    writeFileSync(
      join(root, "with.tar"),
      layerTar([{ path: "d/", pax: { "SCHILY.xattr.user.of": "d" } }, program, { path: "pipe", type: "6" }]),
    );
    const made = await build(root, { noCache: true });
    expect(made.warnings).toEqual([
      "Dockerfile:2: devices and pipes are left out: pipe",
      "Dockerfile:8: '/none/*/*' matches nothing in 'made'",
    ]);
    const { image } = (await readImage(processPaths(), made.name, ARCH))!;
    const files = readErofs(image.rootfsPath);
    const attributes = (path: string) => [...Object.keys(files.get(path)!.xattrs)].sort();
    for (const path of ["one/program", "one/link", "all/program"])
      expect(attributes(path), path).toEqual(["security.capability", "user.of"]);
    expect(attributes("all/d")).toEqual(["user.of"]);
    expect(files.get("all/program")).toMatchObject({ uid: 3, gid: 4 });
    expect(files.get("parts/below")).toMatchObject({ size: 6 });
  });

  test("ADD unpacks archives however they are packed, or leaves them; --chmod takes letters", async () => {
    const root = context("packed", {
      Dockerfile: `FROM ${base}
ADD a.tar.xz /xz/
ADD a.tar.bz2 /bz2
ADD --unpack=true several.txz /several
ADD --unpack=false a.tar.xz /kept/
COPY --chmod=+x,g-w,o= tree/ /letters/
COPY --chmod=u=rwX,go=rX tree/ /portable/
COPY --chmod=g=u,+t --from=${base} /below /etc/group /taken/
COPY --chmod=4 --chown=5 tree/plain /none
COPY --chmod=a+x <<script /script
#!/bin/sh
script
RUN ["/bin/chmod", "-R", "+x,g-w,o=", "/portable"]
RUN /script
`,
      "a.tar.xz": TAR_XZ,
      "a.tar.bz2": TAR_BZIP2,
      "several.txz": TAR_SEVERAL_XZ,
      "tree/plain": "plain",
      "tree/below/program": "#!/bin/sh\n",
    });
    chmodSync(join(root, "tree/plain"), 0o664);
    chmodSync(join(root, "tree/below"), 0o775);
    chmodSync(join(root, "tree/below/program"), 0o744);
    const made = await build(root);
    await using vm = await SmolVM.create(small(backend, { image: made.name, user: "0" }));
    const say = async (line: string) => (await vm.run(["sh", "-c", line], { check: true })).stdout;
    expect(await say("cd /; stat -c '%n %a %u' */in/file; stat -c '%n %s' kept/*")).toBe(
      `bz2/in/file 600 12\nseveral/in/file 600 12\nxz/in/file 600 12\nkept/a.tar.xz ${TAR_XZ.length}\n`,
    );
    const modes = "stat -c '%n %a' plain below below/program";
    expect(await say(`cd /letters; ${modes}`)).toBe("plain 750\nbelow 750\nbelow/program 750\n");
    expect(await say(`cd /portable; ${modes}`)).toBe("plain 750\nbelow 750\nbelow/program 750\n");
    expect(await say("stat -c '%n %a %u' /taken/* /none /script")).toBe(
      "/taken/below 1664 0\n/taken/group 1664 0\n/none 4 5\n/script 755 0\n",
    );
    // The same again is known, and another mode is another step.
    expect((await build(root)).steps.carriedOut).toBe(0);

    writeFileSync(join(root, "several.txz"), TAR_XZ.subarray(0, -20));
    await expect(build(root)).rejects.toMatchObject({
      code: "FILE_FAILED",
      message: expect.stringMatching(/^Dockerfile:4: ADD .*: what is packed with xz is damaged: it ends/),
      hint: expect.stringContaining("xz -t FILE"),
      details: { line: 4 },
    });
  });

  test("a here-document with a first line of its own is executed by that, and the Dockerfile may come from stdin", async () => {
    const root = context("stdin", { a: "of the context", ".dockerignore": "b" });
    const text = `FROM ${base}
RUN <<EOF
#!/bin/cat
is $0 printed
EOF
USER app:web
RUN --mount=type=tmpfs,target=/t <<-'EOF'
	#!/bin/sh -e
	id -u > /tmp/id; id -g >> /tmp/id; echo "$0 $(ls /t | busybox wc -l)" >> /tmp/id
EOF
COPY a /a
`;
    names.push("build-test-stdin");
    const args = ["image", "build", "--network", "off", "-t", "build-test-stdin", "-f", "-", root];
    const made = await cli(args, { input: text });
    expect(made).toMatchObject({ code: 0 });
    expect(made.stderr).toMatch(/ #!\/bin\/cat\n.* is \$0 printed\n/);
    await using vm = await SmolVM.create(small(backend, { image: "build-test-stdin", user: "0" }));
    expect(await vm.files.readText("/tmp/id")).toBe("1000\n5000\n/run/smolvm-build/script 0\n");
    expect((await cli(args, { input: text.replace("is $0", "was $0") })).stderr).toContain(
      "4 steps, 1 of them cached",
    );
    expect(await cli(args, { input: "" })).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("it has no FROM"),
    });
  });

  test("what COPY names and the context has not is told before anything is carried out", async () => {
    const events: BuildEvent[] = [];
    const root = context("missing", { Dockerfile: `FROM ${base}\nRUN exit 1\nCOPY missing /x\n` });
    await expect(build(root, { onEvent: (event) => events.push(event) })).rejects.toMatchObject({
      code: "DOCKERFILE_INVALID",
      message: expect.stringContaining("Dockerfile:3: 'missing' is not in"),
    });
    expect(events).toEqual([]);
  });

  test("what FROM names and is not there is told with its line", async () => {
    const root = context("from", { Dockerfile: "ARG TAG\nFROM oci:/nonexistent:$TAG AS one\n" });
    await expect(build(root, { buildArgs: { TAG: "x" } })).rejects.toMatchObject({
      code: "FILE_NOT_FOUND",
      message: expect.stringMatching(/^Dockerfile:2: FROM oci:\/nonexistent:x: /),
      details: { line: 2, file: "Dockerfile" },
    });
  });

  test.for([
    ["COPY --chmod=u+q a /x/", "--chmod=u+q is no mode", "u=rwX,go=rX"],
    ["COPY --chmod=77777 a /x/", "--chmod=77777 is no mode", "octal digits"],
    ["COPY --unpack a /x/", "COPY --unpack is not supported", "docs/builds.md"],
    ["ADD --unpack=1 a /x/", "ADD --unpack=1 is not supported", "docs/builds.md"],
    ["ADD --keep-git-dir=true https://127.0.0.1/o/n.git /x", "ADD --keep-git-dir is of Git", "RUN git clone"],
    ["ADD https://127.0.0.1/o/n.git /x", "ADD of a Git repository is not supported", "RUN git clone"],
    ["ADD https://127.0.0.1/file /x", "ADD of a URL reaches a network", "docs/builds.md"],
    ["ADD --parents a /x/", "ADD --parents is not supported", "docs/builds.md"],
    ["COPY --parents=yes a /x/", "COPY --parents=yes is not supported", "docs/builds.md"],
    ["COPY --exclude a /x/", "COPY --exclude is not supported", "docs/builds.md"],
  ] as const)("%s is refused", async ([line, message, hint]) => {
    await expect(
      build(context(`refused ${line.length}`, { Dockerfile: `FROM scratch\n${line}\n`, a: "" })),
    ).rejects.toMatchObject({
      code: "DOCKERFILE_INVALID",
      message: expect.stringContaining(`Dockerfile:2: ${message}`),
      hint: expect.stringContaining(hint),
      details: { line: 2 },
    });
  });

  // Emulated, with a kernel of its own: with SMOLVM_TEST_LONG alone.
  if (process.env.SMOLVM_TEST_LONG !== undefined)
    test("for another platform it is built in an emulated guest, and is that platform's", async () => {
      const other = ARCH === "x86_64" ? "aarch64" : "x86_64";
      const root = context("platform", {
        Dockerfile: `FROM minimal\nCOPY a /a\nRUN uname -m > /machine\nCMD ["cat", "/machine", "/a"]\n`,
        a: `${startedAt}\n`,
      });
      const platform = `linux/${GO_ARCH[other]}`;
      const tags = ["build-test-platform"];
      const made = await build(root, { platform, tags });
      try {
        expect(made).toMatchObject({ arch: other, steps: { carriedOut: 2, cached: 0 } });
        const { image } = (await readImage(processPaths(), tags[0]!, other))!;
        const config = readFileSync(imageLayout(processPaths()).blob(image.origin!.configDigest), "utf8");
        expect(JSON.parse(config)).toMatchObject({ architecture: GO_ARCH[other], os: "linux" });
        const args = ["run", "--network", "off", "--image", tags[0]!, "--pull", "never"];
        const ran = await cli([...args, "--arch", other]);
        expect(ran).toMatchObject({ code: 0, text: `${other}\n${startedAt}\n` });
        // Another platform's steps are others.
        const own = await build(root, {});
        expect(own.steps).toEqual({ carriedOut: 2, cached: 0 });
        const without = join(directory, "native");
        mkdirSync(without);
        const refused = await cli(
          ["image", "build", "--network", "off", "--no-cache", "--platform", platform, root],
          { env: { SMOLVM_NATIVE_DIR: without } },
        );
        expect(refused.code).toBe(1);
        expect(refused.stderr).toContain(`the guest agent 'agent-${other}' is not built`);
        expect(refused.stderr).toContain("npm run build:native");
      } finally {
        await forgetImage(processPaths(), tags[0]!, other);
      }
    });

  // The other places have their turn with SMOLVM_TEST_LONG.
  const places = [
    ...["layer made", "step done", "before compose", "before built"],
    ...["pull layer", "pull unpacked", "pull store", "cache written"],
  ];
  test.for(process.env.SMOLVM_TEST_LONG === undefined ? ["layer made"] : places)(
    "one that is killed (%s) leaves what gc removes, and the next build goes on",
    async (place) => {
      const root = context(`killed ${place}`, {
        Dockerfile: `FROM ${base}\nRUN echo ${place} > /x\nRUN --mount=type=cache,id=test-${startedAt},target=/c echo 2 > /y\n`,
      });
      const args = ["image", "build", "--network", "off", "-t", "build-test-killed", root];
      expect(await cli(args, { env: { SMOLVM_FAILPOINT: place } })).toMatchObject(KILLED);
      await SmolVM.gc();
      expect((await SmolVM.list()).filter(({ name }) => name.startsWith("build-"))).toEqual([]);
      const { blobs } = imageLayout(processPaths());
      const { buildCaches, work } = imageLayout(processPaths());
      for (const kept of [blobs, buildCaches]) {
        const left = existsSync(kept) ? readdirSync(kept) : [];
        expect(left.filter((name) => name.endsWith(".tmp"))).toEqual([]);
      }
      expect(readdirSync(work)).toEqual([]);
      names.push("build-test-killed");
      expect(await cli(args)).toMatchObject({ code: 0 });
    },
  );

  test("is taken by skopeo and umoci, of a registry and as a directory; a push of it that is killed goes on", async () => {
    const root = context("given", {
      Dockerfile: `FROM ${base}\nCOPY --chown=3:4 --chmod=4750 a sub /here/\nRUN rm /below && ln /here/a /here/b && ln -s a /here/link && mkdir -p /etc/x && chmod 1777 /etc/x\nENV A=b\nENTRYPOINT ["/bin/cat"]\n`,
      a: "of the build",
      "sub/s": Buffer.alloc(100_000, "s"),
    });
    const made = await build(root);
    const registry = await startDockerRegistry(join(directory, "registry"));
    try {
      const to = `${registry.host}/built/x:1`;
      const env = { DOCKER_CONFIG: join(directory, "nobody") };
      const push = (place?: string) =>
        cli(["image", "push", made.name, to], {
          env: place === undefined ? env : { ...env, SMOLVM_FAILPOINT: place },
        });
      for (const place of ["push chunk", "push layer", "push manifest"])
        expect(await push(place)).toMatchObject(KILLED);
      expect((await push()).text).toBe(`${to}@${made.digest}\n`);
      const skopeo = (...args: string[]) => execFileSync("skopeo", args).toString();
      const there = JSON.parse(skopeo("inspect", "--tls-verify=false", `docker://${to}`));
      expect(there).toMatchObject({
        Digest: made.digest,
        Architecture: GO_ARCH[ARCH],
        Env: ["PATH=/bin", "LOW=1", "A=b"],
      });
      const [copy, saved] = [join(directory, "copy"), join(directory, "saved")];
      skopeo("copy", "-q", "--insecure-policy", "--src-tls-verify=false", `docker://${to}`, `oci:${copy}:x`);
      expect(await cli(["image", "save", made.name, `oci:${saved}:x`])).toMatchObject({ code: 0 });
      for (const layout of [copy, saved])
        expect(JSON.parse(skopeo("inspect", `oci:${layout}:x`))).toMatchObject({ Digest: made.digest });
      if (process.getuid?.() !== 0) return; // umoci makes owners
      const bundle = join(directory, "bundle");
      execFileSync("umoci", ["unpack", "--image", `${copy}:x`, bundle], { stdio: "pipe" });
      const walk = join(import.meta.dirname, "../helpers/walk-tree.py");
      const walked = execFileSync("python3", [walk, join(bundle, "rootfs")], { maxBuffer: 1 << 26 });
      const theirs = new Map(Object.entries(JSON.parse(walked.toString()) as Record<string, SeenFile>));
      const ours = readErofs((await readImage(processPaths(), made.name, ARCH))!.image.rootfsPath);
      // What every guest needs is added to what the layers hold.
      for (const path of ours.keys()) if (/^(?:dev|proc|run|sys|tmp)$/.test(path)) ours.delete(path);
      const facts = (files: ReadonlyMap<string, SeenFile>) =>
        [...files].map(([path, { kind, mode, uid, gid, links, sha256, target }]) => {
          const of = kind === "directory" ? [] : [links, sha256 ?? undefined, target ?? undefined];
          return [path, kind, kind === "symlink" ? 0 : mode, uid, gid, ...of];
        });
      const sorted = (list: unknown[][]) => list.sort(([a], [b]) => (`${a}` < `${b}` ? -1 : 1));
      expect(sorted(facts(ours))).toEqual(sorted(facts(theirs)));
      expect(theirs.get("here/b")).toMatchObject({ links: 2, uid: 3, gid: 4, mode: 0o4750 });
      expect(theirs.has("below")).toBe(false);
    } finally {
      await registry.stop();
    }
  });

  test("from scratch it holds what is copied, and no times later than SOURCE_DATE_EPOCH", async () => {
    const root = context("scratch", {
      Dockerfile: `FROM scratch\nCOPY --from=${base} /bin /bin\nCOPY a /x/\nENV PATH=/bin\nRUN echo now > /now\nCMD ["/bin/cat", "/x/a", "/now"]\n`,
      a: "from scratch\n",
    });
    process.env.SOURCE_DATE_EPOCH = "1700000000";
    try {
      const one = await build(root, { noCache: true });
      const two = await build(root, { noCache: true });
      expect(two.digest).toBe(one.digest);
      await using vm = await SmolVM.create(small(backend, { image: one.name }));
      expect((await vm.run(["/bin/stat", "-c", "%Y", "/now"])).stdout).toBe("1700000000\n");
      expect((await vm.run(["/bin/cat", "/x/a"])).stdout).toBe("from scratch\n");
    } finally {
      delete process.env.SOURCE_DATE_EPOCH;
    }
  });
});
