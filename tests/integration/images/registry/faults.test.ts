import { createHash, randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { parseReference, type RegistryReference } from "../../../../src/images/oci/reference.ts";
import { type PullResult, pullImage } from "../../../../src/images/pull.ts";
import { pushImage } from "../../../../src/images/push.ts";
import { LayoutSource } from "../../../../src/images/registry/layout-source.ts";
import { RegistrySource } from "../../../../src/images/registry/registry-source.ts";
import { imageLayout } from "../../../../src/images/store/layout.ts";
import { readImage, type StoredImage } from "../../../../src/images/store/store.ts";
import { Deadline } from "../../../../src/util/deadline.ts";
import { FakeRegistry } from "../../../fakes/fake-registry.ts";
import { type MadeImage, writeLayout } from "../../../helpers/layers.ts";
import { addSmallImage } from "../../../helpers/small-image.ts";

/** A megabyte that does not pack. */
const BIG = randomBytes(1_000_000);
const ENTRIES = [{ path: "./" }, { path: "big", content: BIG }];

let home: string;
let small: Promise<StoredImage> | undefined;
let registry: FakeRegistry;
let made: MadeImage;
/** The image that pulled ones have their kernel of: made once, however many ask at the same time. */
const basis = (): Promise<StoredImage> => {
  small ??= addSmallImage(cache().cacheDir, "minimal");
  return small;
};

beforeEach(async () => {
  home = mkdtempSync(join(tmpdir(), "smolvm-pull-"));
  small = undefined;
  made = writeLayout(join(home, "layout"), { layers: [ENTRIES, [{ path: "small", content: "s" }]] });
  registry = new FakeRegistry(join(home, "layout"));
  await registry.listen();
});
afterEach(async () => {
  await registry.close();
  rmSync(home, { recursive: true, force: true });
});

const cache = () => ({ cacheDir: join(home, "cache") });

async function pull(
  text = `${registry.host}/a/b:latest`,
  {
    settings = {},
    digest,
    deadline = Deadline.of("pulling"),
  }: { settings?: object; digest?: string; deadline?: Deadline } = {},
): Promise<PullResult> {
  const reference = parseReference(text) as RegistryReference;
  const source = new RegistrySource(reference, { settings });
  try {
    return await pullImage(cache(), source, {
      arch: "x86_64",
      name: reference.name,
      reference: reference.name,
      digest: digest ?? reference.digest,
      basis,
      deadline,
    });
  } finally {
    await source.close();
  }
}

const blobRequests = (digest: string) => registry.asked.filter(({ path }) => path.endsWith(digest));
const kept = () => readdirSync(imageLayout(cache()).blobs).sort();

describe("a pull from a registry that fails now and then", () => {
  test("goes on where the connection was cut, and asks for nothing twice", async () => {
    const [layer] = made.layerDigests as [string];
    let cuts = 2;
    registry.fault = (request, response) => {
      if (!request.url!.endsWith(layer) || cuts === 0) return false;
      const bytes = registry.blobFile(layer);
      const from = Number(/\d+/.exec(request.headers.range ?? "0")![0]);
      response.writeHead(from === 0 ? 200 : 206, {
        "content-length": bytes.length - from,
        ...(from === 0 ? {} : { "content-range": `bytes ${from}-${bytes.length - 1}/${bytes.length}` }),
      });
      response.write(bytes.subarray(from, from + 300_000), () => setTimeout(() => response.destroy(), 20));
      cuts--;
      return true;
    };
    expect((await pull()).pulled).toBe(true);
    const ranges = blobRequests(layer).map(({ headers }) => headers.range);
    expect(ranges).toHaveLength(3);
    expect(ranges[0]).toBeUndefined();
    const starts = ranges.slice(1).map((range) => Number(/\d+/.exec(range!)![0]));
    expect(starts[0]).toBeGreaterThan(0);
    expect(starts[1]).toBeGreaterThan(starts[0]!);
  });

  test("begins again where the registry gives no ranges", async () => {
    const [layer] = made.layerDigests as [string];
    let first = true;
    registry.fault = (request, response) => {
      if (!request.url!.endsWith(layer)) return false;
      const bytes = registry.blobFile(layer);
      response.writeHead(200, { "content-length": bytes.length });
      if (!first) response.end(bytes);
      else response.write(bytes.subarray(0, 500_000), () => setTimeout(() => response.destroy(), 20));
      first = false;
      return true;
    };
    expect((await pull()).pulled).toBe(true);
  });

  test("waits as long as it is told, and no longer where that is too long", async () => {
    let refusals = 2;
    registry.fault = (request, response) => {
      if (!request.url!.includes("/manifests/") || refusals === 0) return false;
      refusals--;
      response.writeHead(429, { "retry-after": "0" }).end();
      return true;
    };
    expect((await pull()).pulled).toBe(true);
    registry.fault = (_, response) => {
      response.writeHead(429, { "retry-after": "21600" });
      response.end(
        '{"errors":[{"code":"TOOMANYREQUESTS","message":"You have reached your pull rate limit"}]}',
      );
      return true;
    };
    await expect(pull(`${registry.host}/c/d`)).rejects.toMatchObject({
      code: "REGISTRY_LIMITED",
      message: expect.stringContaining("You have reached your pull rate limit"),
      hint: expect.stringContaining("in 21600 s"),
    });
  });

  test("asks again when it is told that the server cannot now", async () => {
    let failures = 3;
    registry.fault = (_, response) => {
      if (failures-- <= 0) return false;
      response.writeHead(503, { "retry-after": "0" }).end();
      return true;
    };
    expect((await pull()).pulled).toBe(true);
  });
});

describe("a pull from a registry that lies", () => {
  const lie = (bytes: (right: Buffer) => Buffer): void => {
    registry.fault = (request, response) => {
      const [layer] = made.layerDigests as [string];
      if (!request.url!.endsWith(layer)) return false;
      response.end(bytes(registry.blobFile(layer)));
      return true;
    };
  };

  test("keeps nothing of a layer with another content", async () => {
    lie((right) => Buffer.concat([right.subarray(0, -1), Buffer.from([right.at(-1)! ^ 1])]));
    await expect(pull()).rejects.toMatchObject({
      code: "IMAGE_INVALID",
      message: expect.stringContaining("what came for sha256:"),
    });
    expect(kept().filter((name) => name.includes(made.layerDigests[0]!.slice(7)))).toEqual([]);
    expect(await readImage(cache(), `${registry.host}/a/b:latest`, "x86_64")).toBeUndefined();
    registry.fault = () => false;
    expect((await pull()).pulled).toBe(true);
  });

  test("ends one that is longer than it should be, without taking the rest", async () => {
    lie((right) => Buffer.concat([right, Buffer.alloc(50_000_000)]));
    await expect(pull()).rejects.toMatchObject({
      code: "IMAGE_INVALID",
      message: expect.stringContaining("is larger than its"),
    });
  });

  test("takes no other manifest for the digest that was asked for", async () => {
    const digest = `sha256:${"0".repeat(64)}`;
    registry.fault = (request, response) => {
      if (!request.url!.includes("/manifests/")) return false;
      response
        .writeHead(200, { "content-type": "application/vnd.oci.image.manifest.v1+json" })
        .end(made.manifest);
      return true;
    };
    await expect(pull(`${registry.host}/a/b@${digest}`)).rejects.toMatchObject({
      code: "IMAGE_INVALID",
      message: expect.stringContaining(`${digest} was asked for`),
    });
  });

  test("a manifest of any size is no manifest", async () => {
    registry.fault = (request, response) => {
      if (!request.url!.includes("/manifests/")) return false;
      response.write("x".repeat(5_000_000));
      return true; // and never ends
    };
    await expect(pull()).rejects.toMatchObject({
      code: "IMAGE_INVALID",
      message: expect.stringContaining("larger than 4 MiB"),
    });
  });
});

describe("who asks is told to the registry alone", () => {
  const auth = (): object => {
    const file = join(home, "auth.json");
    const secret = Buffer.from("me:secret").toString("base64");
    writeFileSync(file, JSON.stringify({ auths: { [registry.host]: { auth: secret } } }));
    return { registryAuthFile: file };
  };

  test("and not to where it redirects to", async () => {
    const other = new FakeRegistry(join(home, "layout"));
    await other.listen();
    try {
      registry.fault = (request, response) => {
        if (request.headers.authorization === undefined) {
          response.writeHead(401, { "www-authenticate": 'Basic realm="here"' }).end();
          return true;
        }
        if (!request.url!.includes("/blobs/")) return false;
        response.writeHead(307, { location: `http://${other.host}${request.url!}` }).end();
        return true;
      };
      expect((await pull(undefined, { settings: auth() })).pulled).toBe(true);
      const seen = registry.asked.map(({ headers }) => headers.authorization);
      expect(seen).toContain(`Basic ${Buffer.from("me:secret").toString("base64")}`);
      expect(other.asked).toHaveLength(3);
      expect(other.asked.map(({ headers }) => headers.authorization)).toEqual([
        undefined,
        undefined,
        undefined,
      ]);
      expect(JSON.stringify(other.asked)).not.toMatch(/secret|bWU6/);
    } finally {
      await other.close();
    }
  });

  test("as a token that another server gives, for this repository", async () => {
    registry.fault = (request, response) => {
      if (request.url!.startsWith("/token")) {
        const { searchParams } = new URL(request.url!, "http://x");
        const isMe = request.headers.authorization === `Basic ${Buffer.from("me:secret").toString("base64")}`;
        const isRight =
          searchParams.get("scope") === "repository:a/b:pull" && searchParams.get("service") === "s p";
        response.writeHead(isMe && isRight ? 200 : 401).end(JSON.stringify({ token: "t0ken" }));
        return true;
      }
      if (request.headers.authorization === "Bearer t0ken") return false;
      response.writeHead(401, {
        "www-authenticate": `Bearer realm="http://${registry.host}/token",service="s p",scope="repository:a/b:pull"`,
      });
      response.end();
      return true;
    };
    expect((await pull(undefined, { settings: auth() })).pulled).toBe(true);
    await expect(pull(`${registry.host}/a/b:other`)).rejects.toMatchObject({
      code: "REGISTRY_AUTH",
      hint: expect.stringContaining(`smolvm image login -u NAME ${registry.host}`),
    });
  });

  test("a helper that config.json names is asked", async () => {
    const bin = join(home, "bin");
    mkdirSync(bin);
    writeFileSync(
      join(bin, "docker-credential-test"),
      `#!/bin/sh\nread host; [ "$1 $host" = "get ${registry.host}" ] && echo '{"Username":"me","Secret":"secret"}'\n`,
      { mode: 0o755 },
    );
    mkdirSync(join(home, "docker"));
    writeFileSync(
      join(home, "docker", "config.json"),
      JSON.stringify({ credHelpers: { [registry.host]: "test" } }),
    );
    registry.fault = (request, response) => {
      if (request.headers.authorization === `Basic ${Buffer.from("me:secret").toString("base64")}`)
        return false;
      response.writeHead(401, { "www-authenticate": "Basic" }).end();
      return true;
    };
    const { PATH } = process.env;
    process.env.PATH = `${bin}:${PATH}`;
    try {
      expect((await pull(undefined, { settings: { dockerConfig: join(home, "docker") } })).pulled).toBe(true);
    } finally {
      process.env.PATH = PATH;
    }
  });
});

describe("a pull that ends in the middle", () => {
  test("leaves what the next one goes on from", async () => {
    const [layer] = made.layerDigests as [string];
    const aborted = new AbortController();
    registry.fault = (request, response) => {
      if (!request.url!.endsWith(layer)) return false;
      const bytes = registry.blobFile(layer);
      response.writeHead(200, { "content-length": bytes.length });
      response.write(bytes.subarray(0, 400_000), () => setTimeout(() => aborted.abort(), 50)); // and never ends
      return true;
    };
    await expect(
      pull(undefined, { deadline: Deadline.of("pulling", { signal: aborted.signal }) }),
    ).rejects.toMatchObject({
      code: "ABORTED",
    });
    expect(kept()).toContain(`${layer.slice(7)}.partial`);
    registry.fault = () => false;
    registry.asked.length = 0;
    expect((await pull()).pulled).toBe(true);
    expect(blobRequests(layer).map(({ headers }) => headers.range)).toEqual(["bytes=400000-"]);
    expect(readFileSync(imageLayout(cache()).blob(layer)).equals(registry.blobFile(layer))).toBe(true);
    expect(kept().filter((name) => !/^[0-9a-f]{64}$/.test(name))).toEqual([]);
  });

  test("begins again if what was left is damaged", async () => {
    const [layer] = made.layerDigests as [string];
    mkdirSync(imageLayout(cache()).blobs, { recursive: true });
    writeFileSync(`${imageLayout(cache()).blob(layer)}.partial`, randomBytes(1000));
    expect((await pull()).pulled).toBe(true);
    expect(blobRequests(layer).map(({ headers }) => headers.range)).toEqual(["bytes=1000-", undefined]);
  });
});

describe("two pulls", () => {
  test("of one image at a time download each layer once, and make it once", async () => {
    const results = await Promise.all([pull(), pull(), pull()]);
    expect(results.map(({ pulled }) => pulled).sort()).toEqual([false, false, true]);
    for (const digest of made.layerDigests) expect(blobRequests(digest)).toHaveLength(1);
    expect(new Set(results.map(({ stored }) => stored.image.digest)).size).toBe(1);
  });

  test("of images that share a layer download it once, and the second of one does nothing", async () => {
    await pull();
    registry.asked.length = 0;
    expect((await pull()).pulled).toBe(false);
    expect(registry.asked.map(({ path }) => path)).toEqual(["/v2/a/b/manifests/latest"]);
    writeLayout(join(home, "layout"), { layers: [ENTRIES, [{ path: "other", content: "o" }]], tag: "other" });
    registry.asked.length = 0;
    expect((await pull(`${registry.host}/a/b:other`)).pulled).toBe(true);
    expect(blobRequests(made.layerDigests[0]!)).toEqual([]);
  });
});

describe("a push that is cut off", () => {
  test("goes on from what the registry says that it has, and sends that no more", async () => {
    const big = writeLayout(join(home, "big"), {
      layers: [[{ path: "./" }, { path: "big", content: randomBytes(12_000_000) }]],
    });
    const source = new LayoutSource({
      kind: "oci",
      directory: join(home, "big"),
      tag: undefined,
      name: "oci:big",
    });
    const name = `oci:${join(home, "big")}`;
    await pullImage(cache(), source, {
      arch: "x86_64",
      name,
      reference: name,
      basis,
      deadline: Deadline.of("pulling"),
    });

    // One upload at a time for each blob, as the distribution-spec has it, that a cut does not end.
    const uploads = new Map<string, Buffer>();
    const taken = new Map<string, Buffer>();
    let cuts = 2;
    registry.fault = (request, response) => {
      const url = new URL(request.url!, "http://x");
      const id = /\/uploads\/(\d+)$/.exec(url.pathname)?.[1];
      const has = (): Buffer => uploads.get(id!)!;
      const state = (status: number): void => {
        const range = has().length === 0 ? {} : { range: `0-${has().length - 1}` };
        response.writeHead(status, { location: url.pathname, ...range }).end();
      };
      if (request.method === "HEAD") response.writeHead(404).end();
      else if (request.method === "POST") {
        const made = String(uploads.size + 1);
        uploads.set(made, Buffer.alloc(0));
        response.writeHead(202, { location: `${url.pathname}${made}` }).end();
      } else if (request.method === "GET" && id !== undefined) state(204);
      else if (request.method === "PATCH") {
        expect(request.headers["content-range"]).toMatch(new RegExp(`^${has().length}-`));
        request.on("data", (bytes: Buffer) => {
          uploads.set(id!, Buffer.concat([has(), bytes]));
          if (cuts === 0 || has().length < 9_000_000) return;
          cuts--;
          request.destroy();
        });
        request.on("end", () => state(202));
      } else if (request.method === "PUT" && id !== undefined) {
        taken.set(url.searchParams.get("digest")!, has());
        response.writeHead(201).end();
      } else if (request.method === "PUT") response.writeHead(201).end();
      else return false;
      return true;
    };
    const pushed = await pushImage(cache(), name, {
      to: `${registry.host}/me/big:1`,
      arch: "x86_64",
      deadline: Deadline.of("pushing"),
    });
    expect(pushed.manifest).toBe(big.manifestDigest);
    expect(cuts).toBe(0);
    expect([...taken.keys()].sort()).toEqual([big.configDigest, ...big.layerDigests].sort());
    for (const [digest, bytes] of taken)
      expect(`sha256:${createHash("sha256").update(bytes).digest("hex")}`).toBe(digest);
    expect(uploads.size).toBe(2);
  });
});
