import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { pullNamed } from "../../../../src/images/boot/pull-image.ts";
import { imageLayout } from "../../../../src/images/store/layout.ts";
import { removeImage } from "../../../../src/images/store/store.ts";
import { Deadline } from "../../../../src/util/deadline.ts";
import { type DockerRegistry, startDockerRegistry } from "../../../helpers/docker-registry.ts";
import { writeLayout } from "../../../helpers/layers.ts";
import { addSmallImage } from "../../../helpers/small-image.ts";

/** Nobody listens there: the registry whose images are mirrored. */
const REGISTRY = "127.0.0.1:1";
/** bcrypt of "secret", as `htpasswd -B` writes it */
const HTPASSWD = "me:$2b$04$pDYQL8WzFif1T9G63fvF5ekbdBWzqDduvyzmVNQmk/Q1CaeeTTO9u\n";

let home: string;
let open: DockerRegistry;
let closed: DockerRegistry;
beforeAll(async () => {
  home = mkdtempSync(join(tmpdir(), "smolvm-mirrors-"));
  mkdirSync(join(home, "cache"));
  writeFileSync(join(home, "htpasswd"), HTPASSWD);
  open = await startDockerRegistry(join(home, "open"));
  closed = await startDockerRegistry(join(home, "closed"), { htpasswd: join(home, "htpasswd") });
  await addSmallImage(cache().cacheDir, "minimal");
  for (const content of ["one", "two"]) {
    const layout = join(home, content);
    writeLayout(layout, { layers: [[{ path: "who", content }]] });
    copy(layout, `${open.host}/${content}/b:1`);
    copy(layout, `${open.host}/below/${content}/b:1`);
    copy(layout, `${closed.host}/${content}/b:1`, "--dest-creds", "me:secret");
  }
});
afterEach(() => {
  for (const name of ["SMOLVM_REGISTRY_MIRRORS", "SMOLVM_HOME", "DOCKER_CONFIG", "REGISTRY_AUTH_FILE"])
    delete process.env[name];
});
afterAll(async () => {
  await open.stop();
  await closed.stop();
  rmSync(home, { recursive: true, force: true });
});

const cache = () => ({ cacheDir: join(home, "cache", "smolvm") });

function copy(layout: string, to: string, ...options: string[]): void {
  const skopeo = ["copy", "-q", "--insecure-policy", "--dest-tls-verify=false", ...options];
  execFileSync("skopeo", [...skopeo, `oci:${layout}:latest`, `docker://${to}`]);
}

/** Changes a byte of what a registry has for a digest. */
function damage(registry: string, digest: string): void {
  const hex = digest.replace("sha256:", "");
  const path = join(registry, "data/docker/registry/v2/blobs/sha256", hex.slice(0, 2), hex, "data");
  const bytes = readFileSync(path);
  bytes[bytes.length - 2]! ^= 1;
  writeFileSync(path, bytes);
}

/** Pulls anew, and tells what was said of waiting. */
async function pull(text: string): Promise<{ waits: string[]; name: string; reference: string | undefined }> {
  const waits: string[] = [];
  const { image } = await pullNamed(cache(), text, {
    arch: "x86_64",
    deadline: Deadline.of("pulling", { timeoutMs: 60_000 }),
    onProgress: ({ stage, message }) => stage === "wait" && waits.push(message),
  });
  await removeImage(cache(), image.name, "x86_64", () => []);
  rmSync(imageLayout(cache()).blobs, { recursive: true, force: true });
  return { waits, name: image.name, reference: image.origin?.reference };
}

describe("mirrors of a registry", () => {
  test("give its images under its name, and the next one is asked where one has it not", async () => {
    process.env.SMOLVM_REGISTRY_MIRRORS = `${REGISTRY}=http://${open.host}`;
    const name = `${REGISTRY}/one/b:1`;
    expect(await pull(name)).toEqual({ waits: [], name, reference: name });
    process.env.SMOLVM_REGISTRY_MIRRORS = [
      `${REGISTRY}=http://127.0.0.1:2`,
      `${REGISTRY}=http://${open.host}/nothing/`,
      `${REGISTRY}=http://${open.host}/below/`,
    ].join(",");
    const { waits } = await pull(`${REGISTRY}/two/b:1`);
    expect(waits).toMatchObject([
      expect.stringContaining("not from the mirror 127.0.0.1:2: 127.0.0.1:2 cannot be reached"),
      expect.stringContaining(`not from the mirror ${open.host}: ${open.host} has no image`),
    ]);
  });

  test("that give something else than what was asked for are passed by, for a layer as for a manifest", async () => {
    const bad = await startDockerRegistry(join(home, "bad"));
    try {
      writeLayout(join(home, "three"), { layers: [[{ path: "who", content: "three" }]] });
      for (const host of [open.host, bad.host]) copy(join(home, "three"), `${host}/three:1`);
      process.env.SMOLVM_REGISTRY_MIRRORS = `${open.host}=http://${bad.host}`;
      const document = JSON.parse(readFileSync(join(home, "three", "index.json"), "utf8")) as {
        manifests: { digest: string }[];
      };
      const [{ digest = "" } = {}] = document.manifests;
      const manifest = JSON.parse(
        readFileSync(join(home, "three", "blobs", ...digest.split(":")), "utf8"),
      ) as {
        config: { digest: string };
        layers: { digest: string }[];
      };
      for (const wrong of [manifest.layers[0]!.digest, manifest.config.digest]) {
        damage(join(home, "bad"), wrong);
        const { waits } = await pull(`${open.host}/three:1`);
        expect(waits).toEqual([expect.stringContaining(`not from the mirror ${bad.host}: `)]);
        expect(waits[0]).toContain(`what came for ${wrong} is sha256:`);
        damage(join(home, "bad"), wrong); // and back
      }
      // The registry itself does not answer: then nobody is asked again.
      damage(join(home, "bad"), manifest.layers[0]!.digest);
      process.env.SMOLVM_REGISTRY_MIRRORS = `${REGISTRY}=http://${bad.host}`;
      await expect(pull(`${REGISTRY}/three:1`)).rejects.toMatchObject({
        code: "REGISTRY_FAILED",
        message: expect.stringContaining(`${REGISTRY} cannot be reached`),
        details: { mirrors: [expect.stringContaining(`${bad.host}: `)] },
      });
      damage(join(home, "bad"), manifest.layers[0]!.digest);
      process.env.SMOLVM_REGISTRY_MIRRORS = `${open.host}=http://${bad.host}`;
      damage(join(home, "bad"), digest);
      const { waits } = await pull(`${open.host}/three@${digest}`);
      expect(waits).toEqual([expect.stringContaining(`not from the mirror ${bad.host}: `)]);
      damage(join(home, "open"), manifest.layers[0]!.digest);
      await expect(pull(`${open.host}/three:1`)).rejects.toMatchObject({ code: "IMAGE_INVALID" });
    } finally {
      await bad.stop();
    }
  });

  test("are those of the file of settings", async () => {
    process.env.SMOLVM_HOME = join(home, "settings");
    mkdirSync(process.env.SMOLVM_HOME);
    writeFileSync(
      join(home, "settings", "images.json"),
      JSON.stringify({ mirrors: { [REGISTRY]: [`http://${open.host}`] } }),
    );
    expect((await pull(`${REGISTRY}/one/b:1`)).waits).toEqual([]);
  });

  test("have logins of their own, and none of the registry's", async () => {
    process.env.SMOLVM_REGISTRY_MIRRORS = `${REGISTRY}=http://${closed.host}`;
    const auth = (host: string) => {
      process.env.REGISTRY_AUTH_FILE = join(home, "auth.json");
      const auths = { [host]: { auth: Buffer.from("me:secret").toString("base64") } };
      writeFileSync(process.env.REGISTRY_AUTH_FILE, JSON.stringify({ auths }));
    };
    auth(REGISTRY);
    await expect(pull(`${REGISTRY}/one/b:1`)).rejects.toMatchObject({
      code: "REGISTRY_FAILED",
      message: expect.stringContaining(`${REGISTRY} cannot be reached`),
      details: { mirrors: [expect.stringContaining(`${closed.host}: `)] },
    });
    auth(closed.host);
    expect((await pull(`${REGISTRY}/one/b:1`)).waits).toEqual([]);
  });

  test("that do not have it either are told with what the registry says", async () => {
    process.env.SMOLVM_REGISTRY_MIRRORS = `${open.host}=http://${open.host}/nothing`;
    await expect(pull(`${open.host}/none:1`)).rejects.toMatchObject({
      code: "IMAGE_NOT_FOUND",
      hint: expect.stringMatching(/Its mirrors .* do not give it either: /),
    });
  });
});
