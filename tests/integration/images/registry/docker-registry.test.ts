import { execFileSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
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
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { findImage } from "../../../../src/images/boot/find.ts";
import { loadArchive, pullNamed } from "../../../../src/images/boot/pull-image.ts";
import { pushImage } from "../../../../src/images/push.ts";
import { login, logout } from "../../../../src/images/registry/login.ts";
import { saveArchive, saveLayout } from "../../../../src/images/save.ts";
import { imageLayout } from "../../../../src/images/store/layout.ts";
import { findUnused, removeUnused } from "../../../../src/images/store/prune.ts";
import { inspectImage, removeImage } from "../../../../src/images/store/store.ts";
import { tagImage } from "../../../../src/images/store/tag.ts";
import { removeUnfinished } from "../../../../src/images/store/unfinished.ts";
import { Deadline } from "../../../../src/util/deadline.ts";
import { selfSigned } from "../../../helpers/certificate.ts";
import { cli, cliJson } from "../../../helpers/cli.ts";
import { type DockerRegistry, startDockerRegistry } from "../../../helpers/docker-registry.ts";
import { writeLayout } from "../../../helpers/layers.ts";
import { readErofs } from "../../../helpers/read-erofs.ts";
import { addSmallImage } from "../../../helpers/small-image.ts";
import { startTokenServer } from "../../../helpers/token-server.ts";

/** bcrypt of "secret", as `htpasswd -B` writes it */
const HTPASSWD = "me:$2b$04$pDYQL8WzFif1T9G63fvF5ekbdBWzqDduvyzmVNQmk/Q1CaeeTTO9u\n";
const CONFIG = {
  Env: ["PATH=/bin", "GREETING=hello there"],
  Entrypoint: ["/bin/tool"],
  Cmd: ["--help"],
  User: "65532",
  WorkingDir: "/srv",
  ExposedPorts: { "80/tcp": {} },
  Volumes: { "/data/vol": {} },
  Labels: { a: "b" },
};

/** What is in {@link image}: its file, its volume, and what every guest needs. */
const FILES = ["", "data", "data/vol", "dev", "etc", "proc", "run", "sys", "who"];

let home: string;
let layout: string;
const registries: DockerRegistry[] = [];
beforeAll(async () => {
  home = mkdtempSync(join(tmpdir(), "smolvm-registry-"));
  layout = join(home, "layout");
  await addSmallImage(cache().cacheDir, "minimal");
});
afterEach(() => {
  for (const name of ["REGISTRY_AUTH_FILE", "SSL_CERT_FILE", "DOCKER_CONFIG"]) delete process.env[name];
});
afterAll(async () => {
  for (const registry of registries) await registry.stop();
  rmSync(home, { recursive: true, force: true });
});

const cache = () => ({ cacheDir: join(home, "cache", "smolvm") });

async function registry(
  name: string,
  options: Parameters<typeof startDockerRegistry>[1] = {},
): Promise<DockerRegistry> {
  const started = await startDockerRegistry(join(home, name), options);
  registries.push(started);
  return started;
}

function image(content: string, architecture = "amd64") {
  return writeLayout(layout, {
    layers: [[{ path: "./" }, { path: "who", content }]],
    config: CONFIG,
    architecture,
  });
}

function push(to: string, ...options: string[]): void {
  execFileSync("skopeo", [
    "copy",
    "-q",
    "--insecure-policy",
    "--dest-tls-verify=false",
    ...options,
    `oci:${layout}:latest`,
    `docker://${to}`,
  ]);
}

const pull = (text: string, arch: "x86_64" | "aarch64" = "x86_64") =>
  pullNamed(cache(), text, { arch, deadline: Deadline.of("pulling") });

describe("Debian's registry", () => {
  test("gives an image to everybody, by tag and digest, with all that its config says", async () => {
    const { host } = await registry("open");
    const made = image("one");
    push(`${host}/a/b:1`);
    const { image: pulled } = await pull(`${host}/a/b:1`);
    expect(pulled).toMatchObject({ name: `${host}/a/b:1`, rootfsFormat: "erofs" });
    expect(pulled.origin).toMatchObject({
      reference: `${host}/a/b:1`,
      config: {
        env: { PATH: "/bin", GREETING: "hello there" },
        entrypoint: ["/bin/tool"],
        cmd: ["--help"],
        user: "65532",
        workdir: "/srv",
        exposedPorts: ["80/tcp"],
        volumes: ["/data/vol"],
        labels: { a: "b" },
      },
    });
    const files = readErofs(pulled.rootfsPath);
    expect([...files.keys()].sort()).toEqual(FILES);
    const digest = pulled.origin!.manifest;
    expect(await pull(`${host}/a/b@${digest}`)).toMatchObject({
      pulled: false,
      image: { digest: pulled.digest },
    });
    expect(digest).toBe(made.manifestDigest);
    await inspectImage(cache(), `${host}/a/b:1`, "x86_64", { verify: true });
    expect(readFileSync(pulled.rootfsPath).includes("one")).toBe(true);
    await expect(pull(`${host}/a/b:2`)).rejects.toMatchObject({ code: "IMAGE_NOT_FOUND" });
    await expect(pull(`${host}/nothing`)).rejects.toMatchObject({ code: "IMAGE_NOT_FOUND" });
  });

  test("an image of Docker's own manifests is the same files", async () => {
    const { host } = registries[0]!;
    image("docker's");
    push(`${host}/v2s2:1`, "--format", "v2s2");
    const { image: pulled } = await pull(`${host}/v2s2:1`);
    expect([...readErofs(pulled.rootfsPath).keys()]).toContain("who");
    expect(pulled.origin!.layers[0]!.mediaType).toBe("application/vnd.docker.image.rootfs.diff.tar.gzip");
  });

  test("an index gives each architecture its own, and says which there are", async () => {
    const { host } = registries[0]!;
    const entries = [];
    for (const architecture of ["amd64", "arm64", "s390x"]) {
      const { manifestDigest, manifest } = image(architecture, architecture);
      push(`${host}/multi:${architecture}`);
      const mediaType = "application/vnd.oci.image.manifest.v1+json";
      entries.push({
        mediaType,
        digest: manifestDigest,
        size: manifest.length,
        platform: { os: "linux", architecture },
      });
    }
    const attestation = { ...entries[0]!, platform: { os: "unknown", architecture: "unknown" } };
    const put = (tag: string, manifests: object[]) =>
      fetch(`http://${host}/v2/multi/manifests/${tag}`, {
        method: "PUT",
        headers: { "content-type": "application/vnd.oci.image.index.v1+json" },
        body: JSON.stringify({
          schemaVersion: 2,
          mediaType: "application/vnd.oci.image.index.v1+json",
          manifests,
        }),
      });
    expect((await put("all", [attestation, ...entries])).status).toBe(201);
    expect((await put("others", [attestation, ...entries.slice(1)])).status).toBe(201);
    const { image: ours } = await pull(`${host}/multi:all`);
    expect(ours.origin!.manifest).toBe(entries[0]!.digest);
    await expect(pull(`${host}/multi:others`)).rejects.toMatchObject({
      code: "IMAGE_NOT_FOUND",
      message: expect.stringContaining("not there for linux/amd64"),
      hint: "It is there for linux/arm64, linux/s390x. In an emulated guest: --arch aarch64",
    });
  });

  test("gives it to who has logged in, and says to log in", async () => {
    writeFileSync(join(home, "htpasswd"), HTPASSWD);
    const { host } = await registry("closed", { htpasswd: join(home, "htpasswd") });
    image("closed");
    push(`${host}/x:1`, "--dest-creds", "me:secret");
    process.env.DOCKER_CONFIG = join(home, "nobody");
    await expect(pull(`${host}/x:1`)).rejects.toMatchObject({
      code: "REGISTRY_AUTH",
      hint: expect.stringContaining(`smolvm image login -u NAME ${host}`),
    });
    const file = join(home, "auth.json");
    process.env.REGISTRY_AUTH_FILE = file;
    const login = (password: string) =>
      writeFileSync(
        file,
        JSON.stringify({ auths: { [host]: { auth: Buffer.from(`me:${password}`).toString("base64") } } }),
      );
    login("wrong");
    await expect(pull(`${host}/x:1`)).rejects.toMatchObject({
      code: "REGISTRY_AUTH",
      message: expect.stringContaining("this login"),
    });
    login("secret");
    expect((await pull(`${host}/x:1`)).pulled).toBe(true);
  });

  test("over TLS is believed by a certificate of one's own authority, and not without it", async () => {
    const { certificate, key } = selfSigned(home, "IP:127.0.0.1");
    const { host } = await registry("tls", { tls: { certificate, key } });
    image("tls");
    push(`${host}/x:1`);
    await expect(pull(`${host}/x:1`)).rejects.toMatchObject({
      code: "REGISTRY_FAILED",
      hint: expect.stringContaining("SSL_CERT_FILE"),
    });
    process.env.SSL_CERT_FILE = certificate;
    expect((await pull(`${host}/x:1`)).pulled).toBe(true);
  });
});

describe("over TLS", () => {
  test("a login is asked for as without it", async () => {
    const { certificate, key } = selfSigned(mkdtempSync(join(home, "tls-")), "IP:127.0.0.1");
    const { host } = await registry("tls-closed", {
      htpasswd: join(home, "htpasswd"),
      tls: { certificate, key },
    });
    process.env.SSL_CERT_FILE = certificate;
    process.env.REGISTRY_AUTH_FILE = join(home, "tls-auth.json");
    image("tls-closed");
    push(`${host}/x:1`, "--dest-creds", "me:secret");
    await expect(pull(`${host}/x:1`)).rejects.toMatchObject({ code: "REGISTRY_AUTH" });
    const credentials = { username: "me", password: "secret" };
    await login(host, credentials, { deadline: Deadline.of("logging in") });
    expect((await pull(`${host}/x:1`)).pulled).toBe(true);
  });

  test("a server of tokens gives out one for each thing that is done, to who may", async () => {
    const directory = mkdtempSync(join(home, "token-"));
    const { certificate, key } = selfSigned(directory, "IP:127.0.0.1");
    const server = await startTokenServer({ certificate, key, login: "me:secret" });
    try {
      const { host } = await registry("token", {
        token: { realm: server.realm, certificate },
        tls: { certificate, key },
      });
      process.env.SSL_CERT_FILE = certificate;
      process.env.REGISTRY_AUTH_FILE = join(directory, "auth.json");
      image("token");
      const { image: made } = await pull(`oci:${layout}:latest`);
      const to = `${host}/a/b:1`;
      const send = () =>
        pushImage(cache(), made.name, { arch: "x86_64", to, deadline: Deadline.of("pushing") });
      await expect(send()).rejects.toMatchObject({ code: "REGISTRY_AUTH" });
      await expect(
        login(host, { username: "me", password: "wrong" }, { deadline: Deadline.of("logging in") }),
      ).rejects.toMatchObject({ code: "REGISTRY_AUTH" });
      await login(host, { username: "me", password: "secret" }, { deadline: Deadline.of("logging in") });
      expect((await send()).manifest).toBe(made.origin!.manifest);
      expect(server.scopes).toContain("repository:a/b:pull,push");
      // Everybody may pull there.
      process.env.REGISTRY_AUTH_FILE = join(directory, "nobody.json");
      expect((await pull(to)).image.origin!.manifest).toBe(made.origin!.manifest);
      expect(server.scopes.at(-1)).toBe("repository:a/b:pull");
    } finally {
      await server.stop();
    }
  });
});

describe("a login", () => {
  const credentials = (password: string) => ({ username: "me", password });
  const options = { deadline: Deadline.of("logging in") };

  test("is tried, kept where Docker keeps it beside what is there, and forgotten", async () => {
    const { host } = registries[1]!;
    process.env.DOCKER_CONFIG = join(home, "docker-config");
    const path = join(home, "docker-config", "config.json");
    await expect(login(host, credentials("wrong"), options)).rejects.toMatchObject({ code: "REGISTRY_AUTH" });
    expect(existsSync(path)).toBe(false);
    mkdirSync(join(home, "docker-config"));
    writeFileSync(path, JSON.stringify({ other: 1, auths: { "ghcr.io": { auth: "eDp5" } } }));
    expect(await login(`https://${host}/`, credentials("secret"), options)).toEqual({
      registry: host,
      keptIn: path,
    });
    expect(statSync(path).mode & 0o777).toBe(0o600);
    const auth = Buffer.from("me:secret").toString("base64");
    expect(JSON.parse(readFileSync(path, "utf8"))).toEqual({
      other: 1,
      auths: { "ghcr.io": { auth: "eDp5" }, [host]: { auth } },
    });
    expect((await pull(`${host}/x:1`)).image.name).toBe(`${host}/x:1`);
    await logout(host, options);
    expect(JSON.parse(readFileSync(path, "utf8"))).toEqual({
      other: 1,
      auths: { "ghcr.io": { auth: "eDp5" } },
    });
    await expect(pull(`${host}/x:1`)).rejects.toMatchObject({ code: "REGISTRY_AUTH" });
  });

  test("goes to the helper that is named, and not into the file", async () => {
    const { host } = registries[1]!;
    const bin = join(home, "bin");
    mkdirSync(bin);
    writeFileSync(join(bin, "docker-credential-kept"), `#!/bin/sh\ncat > ${home}/helper-$1\n`, {
      mode: 0o755,
    });
    const path = join(home, "with-helper.json");
    process.env.REGISTRY_AUTH_FILE = path;
    writeFileSync(path, JSON.stringify({ credsStore: "kept" }));
    const { PATH } = process.env;
    process.env.PATH = `${bin}:${PATH}`;
    try {
      expect((await login(host, credentials("secret"), options)).keptIn).toBe("docker-credential-kept");
      expect(JSON.parse(readFileSync(join(home, "helper-store"), "utf8"))).toEqual({
        ServerURL: host,
        Username: "me",
        Secret: "secret",
      });
      await logout(host, options);
      expect(readFileSync(join(home, "helper-erase"), "utf8")).toBe(host);
      expect(readFileSync(path, "utf8")).toBe('{"credsStore":"kept"}');
    } finally {
      process.env.PATH = PATH;
    }
  });

  test("of the command line takes the password from stdin", async () => {
    const { host } = registries[1]!;
    const env = { REGISTRY_AUTH_FILE: join(home, "cli-auth.json") };
    const done = await cli(["image", "login", "-u", "me", host], { env, input: "secret\n" });
    expect([done.code, done.text]).toEqual([0, `${host}\n`]);
    expect(done.stderr).not.toContain("secret");
    expect((await cli(["image", "logout", host], { env })).code).toBe(0);
  });
});

describe("what is on this machine", () => {
  test("an archive of docker save, as skopeo writes it, is the image", async () => {
    image("archived");
    const file = join(home, "saved.tar");
    execFileSync("skopeo", [
      "copy",
      "-q",
      "--insecure-policy",
      `oci:${layout}:latest`,
      `docker-archive:${file}:x/y:1`,
    ]);
    const { image: pulled } = await pull(`docker-archive:${file}`);
    expect([...readErofs(pulled.rootfsPath).keys()].sort()).toEqual(FILES);
    expect(pulled.origin!.config.entrypoint).toEqual(["/bin/tool"]);
    expect((await pull(`docker-archive:${file}`)).pulled).toBe(false);
  });

  test("a directory in the OCI layout is looked at each time, and is what it was once it is gone", async () => {
    const find = () => findImage(cache(), `oci:${layout}`, "x86_64", { pull: "missing" });
    image("before");
    const before = await find();
    expect((await find()).digest).toBe(before.digest);
    image("after");
    const after = await find();
    expect(after.digest).not.toBe(before.digest);
    rmSync(layout, { recursive: true });
    expect((await find()).digest).toBe(after.digest);
    await expect(findImage(cache(), `oci:${home}/none`, "x86_64", { pull: "missing" })).rejects.toMatchObject(
      { code: "FILE_NOT_FOUND" },
    );
  });

  test("one that was made of other things is refused", async () => {
    mkdirSync(join(home, "other"));
    await expect(pull(`oci:${join(home, "other")}`)).rejects.toMatchObject({ code: "FILE_NOT_FOUND" });
    writeFileSync(join(home, "other.tar"), "no tar");
    await expect(pull(`docker-archive:${join(home, "other.tar")}`)).rejects.toMatchObject({
      code: "IMAGE_INVALID",
    });
  });
});

test("the command line pulls, lists, inspects and removes it by the name that was typed", async () => {
  const { host } = registries[0]!;
  image("cli");
  push(`${host}/cli`);
  const env = { XDG_CACHE_HOME: join(home, "cache") };
  expect(await cliJson(["image", "pull", `${host}/cli`], { env })).toMatchObject({
    code: 0,
    data: { name: `${host}/cli:latest`, pulled: true, origin: { reference: `${host}/cli:latest` } },
  });
  const inspected = await cliJson(["image", "inspect", `${host}/cli`, "--verify"], { env });
  expect(inspected.data).toMatchObject({ name: `${host}/cli:latest`, verified: true });
  expect((await cliJson(["image", "ls"], { env })).data.map(({ name }: { name: string }) => name)).toContain(
    `${host}/cli:latest`,
  );
  await removeImage(cache(), `${host}/cli`, "x86_64", () => []);
  await expect(findImage(cache(), `${host}/cli`, "x86_64")).rejects.toMatchObject({
    code: "IMAGE_NOT_FOUND",
  });
});

describe("a pulled image given on", () => {
  const deadline = Deadline.of("saving");

  test("as an archive is read by skopeo, and is the image that was pulled", async () => {
    const { host } = registries[0]!;
    image("to save");
    push(`${host}/save:1`);
    const { image: pulled } = await pull(`${host}/save:1`);
    const [file, again] = [join(home, "one.tar"), join(home, "two.tar")];
    await saveArchive(cache(), `${host}/save:1`, { arch: "x86_64", file, deadline });
    await saveArchive(cache(), `${host}/save:1`, { arch: "x86_64", file: again, deadline });
    expect(readFileSync(file).equals(readFileSync(again))).toBe(true);
    const inspected = (from: string) =>
      JSON.parse(execFileSync("skopeo", ["inspect", "--config", from]).toString()) as unknown;
    expect(inspected(`docker-archive:${file}`)).toMatchObject({ config: { Entrypoint: ["/bin/tool"] } });
    // As an ordinary user, who may give nothing away that the archive does not say is there.
    const user =
      process.getuid?.() === 0 ? ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"] : [];
    chmodSync(home, 0o755);
    const [program = "", ...words] = [...user, "skopeo", "inspect", "--raw", `oci-archive:${file}`];
    const raw = execFileSync(program, words, { env: { ...process.env, HOME: "/nonexistent" } });
    expect(`sha256:${createHash("sha256").update(raw).digest("hex")}`).toBe(pulled.origin!.manifest);
    const copy = join(home, "copied");
    execFileSync("skopeo", ["copy", "-q", "--insecure-policy", `docker-archive:${file}`, `oci:${copy}:x`]);
    const { image: back } = await pull(`docker-archive:${file}`);
    expect(readErofs(back.rootfsPath)).toEqual(readErofs(pulled.rootfsPath));
  });

  test("as an archive is loaded under the names that it had, or another", async () => {
    const load = (file: string, name?: string) =>
      loadArchive(cache(), file, { arch: "x86_64", name, deadline: Deadline.of("loading") });
    const file = join(home, "one.tar");
    const name = `${registries[0]!.host}/save:1`;
    expect((await load(file)).names).toEqual([name]);
    expect((await load(file, "loaded")).names).toEqual(["loaded"]);
    expect((await findImage(cache(), "loaded", "x86_64")).digest).toBe(
      (await findImage(cache(), name, "x86_64")).digest,
    );
    await expect(findImage(cache(), `docker-archive:${file}`, "x86_64")).rejects.toMatchObject({
      code: "IMAGE_NOT_FOUND",
    });
    await expect(load(file, "debian")).rejects.toMatchObject({ code: "CONFIG_INVALID" });
    await expect(findImage(cache(), `docker-archive:${file}`, "x86_64")).rejects.toMatchObject({
      code: "IMAGE_NOT_FOUND",
    });
  });

  test.each(["gzip", "xz", "zstd", "bzip2"])(
    "as an archive packed with %s is loaded as well, and nothing is left of it",
    async (program) => {
      const file = join(home, `packed.${program}`);
      const packed = execFileSync(program, ["-c"], { input: readFileSync(join(home, "one.tar")) });
      writeFileSync(file, packed);
      const options = { arch: "x86_64", name: "unpacked", deadline: Deadline.of("loading") } as const;
      expect((await loadArchive(cache(), file, options)).names).toEqual(["unpacked"]);
      writeFileSync(file, packed.subarray(0, -9));
      await expect(loadArchive(cache(), file, options)).rejects.toMatchObject({ code: "IMAGE_INVALID" });
      expect(readdirSync(imageLayout(cache()).blobs).filter((name) => name.endsWith(".tmp"))).toEqual([]);
    },
  );

  test("goes nowhere but to a file or a layout, and comes from no directory: that is told", async () => {
    const name = `${registries[0]!.host}/save:1`;
    const directory = join(home, "no layout");
    mkdirSync(directory);
    writeFileSync(join(directory, "index.json"), "[");
    const to = (file: string) => saveArchive(cache(), name, { arch: "x86_64", file, deadline });
    await expect(to(directory)).rejects.toMatchObject({ code: "FILE_TYPE" });
    await expect(to(join(home, "nowhere", "x.tar"))).rejects.toMatchObject({ code: "FILE_NOT_FOUND" });
    await expect(to(join(home, "one.tar", "x.tar"))).rejects.toMatchObject({ code: "FILE_NOT_FOUND" });
    const layoutIn = (at: string) =>
      saveLayout(cache(), name, { arch: "x86_64", directory: at, tag: "a", deadline });
    await expect(layoutIn(directory)).rejects.toMatchObject({ code: "IMAGE_INVALID" });
    expect(readFileSync(join(directory, "index.json"), "utf8")).toBe("[");
    await expect(layoutIn(join(home, "one.tar"))).rejects.toMatchObject({ code: "FILE_NOT_FOUND" });
    await expect(loadArchive(cache(), directory, { arch: "x86_64", deadline })).rejects.toMatchObject({
      code: "FILE_TYPE",
    });
  });

  test("as a directory keeps the others that are in it, and is read by umoci", async () => {
    const { host } = registries[0]!;
    const directory = join(home, "kept");
    for (const tag of ["a", "b", "a"]) {
      await saveLayout(cache(), `${host}/save:1`, { arch: "x86_64", directory, tag, deadline });
    }
    expect(
      execFileSync("umoci", ["list", "--layout", directory]).toString().split("\n").sort().join(" ").trim(),
    ).toBe("a b");
    expect((await pull(`oci:${directory}:b`)).image.origin!.manifest).toBe(
      (await pull(`${host}/save:1`)).image.origin!.manifest,
    );
  });

  test("under another name is the same, and the names of smolvm's own images are not given away", async () => {
    const { host } = registries[0]!;
    const { image: pulled } = await pull(`${host}/save:1`);
    for (const name of ["mine", "ghcr.io/me/mine:1"]) {
      expect((await tagImage(cache(), `${host}/save:1`, name, "x86_64")).image.name).toBe(name);
      expect((await findImage(cache(), name, "x86_64", { pull: "missing" })).digest).toBe(pulled.digest);
    }
    await expect(tagImage(cache(), "mine", "debian", "x86_64")).rejects.toMatchObject({
      code: "CONFIG_INVALID",
    });
    await expect(tagImage(cache(), "mine", "oci:dir", "x86_64")).rejects.toMatchObject({
      code: "CONFIG_INVALID",
    });
    await expect(
      saveArchive(cache(), "minimal", { arch: "x86_64", file: join(home, "no.tar"), deadline }),
    ).rejects.toMatchObject({
      code: "NOT_SUPPORTED",
      hint: expect.stringContaining("smolvm image export minimal"),
    });
    expect(existsSync(join(home, "no.tar"))).toBe(false);
  });
});

describe("a pulled image pushed", () => {
  const sent = (text: string, to?: string) =>
    pushImage(cache(), text, { to, arch: "x86_64", deadline: Deadline.of("pushing") });

  test("has the same digest there, and what the registry has is not sent again", async () => {
    const [{ host }, other] = [registries[0]!, await registry("other")];
    writeLayout(layout, {
      layers: [[{ path: "./" }, { path: "big", content: randomBytes(20_000_000) }]],
      config: CONFIG,
    });
    push(`${host}/from:1`);
    const { image: pulled } = await pull(`${host}/from:1`);
    const digest = pulled.origin!.manifest;
    const first = await sent(`${host}/from:1`, `${other.host}/a/b:1`);
    expect(first).toMatchObject({ name: `${other.host}/a/b:1`, manifest: digest });
    expect(first.sentBytes).toBeGreaterThan(20_000_000);
    expect(
      execFileSync("skopeo", [
        "inspect",
        "--tls-verify=false",
        "--format",
        "{{.Digest}}",
        `docker://${other.host}/a/b:1`,
      ])
        .toString()
        .trim(),
    ).toBe(digest);
    expect((await sent(`${host}/from:1`, `${other.host}/a/b:2`)).sentBytes).toBe(0);
    // Another repository of the registry that it is from takes its layers over from there.
    expect((await sent(`${host}/from:1`, `${host}/to/me:1`)).sentBytes).toBe(0);
    expect(await pull(`${host}/to/me:1`)).toMatchObject({ pulled: false, image: { digest: pulled.digest } });
    await tagImage(cache(), `${host}/from:1`, `${other.host}/tagged:1`, "x86_64");
    expect((await sent(`${other.host}/tagged:1`)).manifest).toBe(digest);
  });

  test("goes on after it was cut off, from what the registry has", async () => {
    const { host } = registries[0]!;
    const [address, port] = host.split(":") as [string, string];
    let [cuts, passed] = [2, 0];
    // Between us and the registry: it cuts off what sends much.
    const between = createServer((client) => {
      const server = connect(Number(port), address);
      client.on("data", (bytes) => {
        passed += bytes.length;
        if (cuts > 0 && passed > 5_000_000) {
          [cuts, passed] = [cuts - 1, 0];
          client.destroy();
        }
      });
      for (const socket of [client, server])
        socket
          .on("error", () => {})
          .on("close", () => {
            client.destroy();
            server.destroy();
          });
      client.pipe(server).pipe(client);
    });
    await new Promise<void>((resolve) => between.listen(0, "127.0.0.1", resolve));
    try {
      const to = `127.0.0.1:${(between.address() as { port: number }).port}/cut/off:1`;
      writeLayout(layout, {
        layers: [[{ path: "./" }, { path: "big", content: randomBytes(20_000_000) }]],
        config: CONFIG,
      });
      const { image: pulled } = await pull(`oci:${layout}:latest`);
      expect((await sent(`oci:${layout}:latest`, to)).manifest).toBe(pulled.origin!.manifest);
      expect(cuts).toBe(0);
      expect((await pull(`${host}/cut/off:1`)).image.digest).toBe(pulled.digest);
    } finally {
      await new Promise((resolve) => between.close(resolve));
    }
  });

  test("by who may, to where something can be pushed", async () => {
    const { host } = registries[1]!;
    process.env.DOCKER_CONFIG = join(home, "nobody");
    await expect(sent("mine", `${host}/new:1`)).rejects.toMatchObject({ code: "REGISTRY_AUTH" });
    process.env.REGISTRY_AUTH_FILE = join(home, "auth.json");
    expect((await sent("mine", `${host}/new:1`)).sentBytes).toBeGreaterThan(0);
    await expect(sent("mine")).rejects.toMatchObject({
      code: "CONFIG_INVALID",
      hint: expect.stringContaining("smolvm image push mine"),
    });
  });
});

describe("a push that is killed", () => {
  test.each(["push chunk", "push layer", "push manifest"])(
    "at '%s' leaves nothing that counts as an image there, and the next one goes on",
    async (place) => {
      const { host } = registries[0]!;
      image(`${place} ${Math.random()}`);
      const { image: pulled } = await pull(`oci:${layout}:latest`);
      const to = `${host}/${place.replace(" ", "-")}:1`;
      const env = { XDG_CACHE_HOME: join(home, "cache"), DOCKER_CONFIG: join(home, "nobody") };
      const killed = await cli(["image", "push", `oci:${layout}:latest`, to], {
        env: { ...env, SMOLVM_FAILPOINT: place },
      });
      expect(killed.signal).toBe("SIGKILL");
      await expect(pull(to)).rejects.toMatchObject({ code: "IMAGE_NOT_FOUND" });
      expect((await cli(["image", "push", `oci:${layout}:latest`, to], { env })).text).toBe(
        `${to}@${pulled.origin!.manifest}\n`,
      );
      expect((await pull(to)).image.digest).toBe(pulled.digest);
    },
  );
});

describe("a pull that is killed", () => {
  test.each(["pull bytes", "pull blob", "pull layer", "pull unpacked", "pull store"])(
    "at '%s' leaves nothing that counts as an image, and the next one goes on",
    async (place) => {
      const { host } = registries[0]!;
      image(`killed at ${place}`);
      const name = `${host}/killed:${place.slice(5)}`;
      push(name);
      const env = { XDG_CACHE_HOME: join(home, "cache") };
      const killed = await cli(["image", "pull", name], { env: { ...env, SMOLVM_FAILPOINT: place } });
      expect(killed.signal).toBe("SIGKILL");
      await expect(findImage(cache(), name, "x86_64")).rejects.toMatchObject({ code: "IMAGE_NOT_FOUND" });
      const { image: pulled } = await pull(name);
      await inspectImage(cache(), name, "x86_64", { verify: true });
      expect([...readErofs(pulled.rootfsPath).keys()].sort()).toEqual(FILES);
      await removeUnfinished(cache());
      const { blobs, work } = imageLayout(cache());
      expect(readdirSync(blobs).filter((file) => !/^[0-9a-f]{64}$/.test(file))).toEqual([]);
      expect(readdirSync(work)).toEqual([]);
    },
  );
});

test("downloads that no pull is at are pruned, and pulled again when they are needed", async () => {
  const { host } = registries[0]!;
  const nothing = { digests: new Set<string>(), paths: new Set<string>() };
  const downloads = (await findUnused(cache(), nothing)).filter(({ kind }) => kind === "download");
  expect(downloads.length).toBeGreaterThan(5);
  await removeUnused(cache(), async () => nothing, { deadline: Deadline.of("pruning") });
  expect(readdirSync(imageLayout(cache()).blobs)).toEqual([]);
  await addSmallImage(cache().cacheDir, "minimal");
  expect((await pull(`${host}/a/b:1`)).pulled).toBe(true);
});
