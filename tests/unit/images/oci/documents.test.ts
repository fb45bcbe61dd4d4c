import { describe, expect, test } from "vitest";
import { parseImageDocument } from "../../../../src/images/oci/config.ts";
import { type ImageIndex, parseManifestDocument } from "../../../../src/images/oci/manifest.ts";
import { choosePlatform } from "../../../../src/images/oci/platform.ts";

const DIGEST = `sha256:${"a".repeat(64)}`;
const OCI = "application/vnd.oci.image.manifest.v1+json";
const INDEX = "application/vnd.oci.image.index.v1+json";
const CONFIG = { mediaType: "application/vnd.oci.image.config.v1+json", digest: DIGEST, size: 2 };
const LAYER = { mediaType: "application/vnd.oci.image.layer.v1.tar+gzip", digest: DIGEST, size: 3 };

const json = (value: unknown): Uint8Array => Buffer.from(JSON.stringify(value));
const parse = (value: unknown, type = OCI) => parseManifestDocument(json(value), type, "x");

describe("a manifest", () => {
  test("is an image's, of OCI or Docker, whoever says of what type it is", () => {
    const image = { kind: "manifest", config: CONFIG, layers: [LAYER] };
    expect(
      parse({ schemaVersion: 2, mediaType: OCI, config: CONFIG, layers: [LAYER] }, "text/plain"),
    ).toEqual(image);
    expect(parse({ schemaVersion: 2, config: CONFIG, layers: [LAYER] }, `${OCI}; charset=utf-8`)).toEqual(
      image,
    );
    const docker = {
      mediaType: "application/vnd.docker.image.rootfs.diff.tar.gzip",
      digest: DIGEST,
      size: 3,
    };
    const config = { ...CONFIG, mediaType: "application/vnd.docker.container.image.v1+json" };
    const type = "application/vnd.docker.distribution.manifest.v2+json";
    expect(parse({ schemaVersion: 2, mediaType: type, config, layers: [docker] })).toMatchObject({
      layers: [docker],
    });
  });

  test.each<[string, unknown, string]>([
    ["of schema 1", { schemaVersion: 1, fsLayers: [] }, "NOT_SUPPORTED"],
    ["of no schema", { config: CONFIG, layers: [] }, "IMAGE_INVALID"],
    [
      "that is an image and a list",
      { schemaVersion: 2, mediaType: OCI, config: CONFIG, layers: [], manifests: [] },
      "IMAGE_INVALID",
    ],
    [
      "of an artifact",
      { schemaVersion: 2, artifactType: "application/x", config: CONFIG, layers: [LAYER] },
      "NOT_SUPPORTED",
    ],
    [
      "of a chart",
      {
        schemaVersion: 2,
        config: { ...CONFIG, mediaType: "application/vnd.cncf.helm.config.v1+json" },
        layers: [],
      },
      "NOT_SUPPORTED",
    ],
    [
      "with a layer that is none",
      { schemaVersion: 2, config: CONFIG, layers: [{ ...LAYER, mediaType: "application/vnd.in-toto+json" }] },
      "NOT_SUPPORTED",
    ],
    [
      "with another hash",
      { schemaVersion: 2, config: { ...CONFIG, digest: `sha512:${"a".repeat(128)}` }, layers: [] },
      "IMAGE_INVALID",
    ],
    [
      "with a path for a hash",
      { schemaVersion: 2, config: { ...CONFIG, digest: "sha256:../../etc" }, layers: [] },
      "IMAGE_INVALID",
    ],
    [
      "with a negative size",
      { schemaVersion: 2, config: { ...CONFIG, size: -1 }, layers: [] },
      "IMAGE_INVALID",
    ],
    [
      "with a layer of a petabyte",
      { schemaVersion: 2, config: CONFIG, layers: [{ ...LAYER, size: 1e15 }] },
      "IMAGE_INVALID",
    ],
    [
      "with a large config",
      { schemaVersion: 2, config: { ...CONFIG, size: 1e9 }, layers: [] },
      "IMAGE_INVALID",
    ],
    [
      "with a thousand layers",
      { schemaVersion: 2, config: CONFIG, layers: Array.from({ length: 1000 }, () => LAYER) },
      "IMAGE_INVALID",
    ],
    ["that is a list", [], "IMAGE_INVALID"],
    ["that is null", null, "IMAGE_INVALID"],
  ])("%s is refused", (_, value, code) => {
    expect(() => parse(value)).toThrow(expect.objectContaining({ code }));
  });
});

describe("a platform", () => {
  const index = (...platforms: (object | undefined)[]): ImageIndex =>
    parse(
      {
        schemaVersion: 2,
        manifests: platforms.map((platform, size) => ({ mediaType: OCI, digest: DIGEST, size, platform })),
      },
      INDEX,
    ) as ImageIndex;
  const linux = (architecture: string, variant?: string) => ({ os: "linux", architecture, variant });

  test.each([
    ["x86_64", [linux("arm64"), linux("amd64")], 1],
    ["aarch64", [linux("amd64"), linux("arm64", "v8")], 1],
    ["aarch64", [linux("arm", "v7"), linux("arm64")], 1],
    ["x86_64", [{ os: "windows", architecture: "amd64" }, linux("amd64")], 1],
    ["x86_64", [linux("amd64", "v3"), linux("amd64")], 1],
    ["x86_64", [{ os: "unknown", architecture: "unknown" }, linux("amd64")], 1],
    ["x86_64", [undefined], 0],
  ] as const)("for %s of %j", (arch, platforms, chosen) => {
    expect(choosePlatform(index(...platforms), arch, "x").size).toBe(chosen);
  });

  test("that is not there is told with those that are", () => {
    expect(() => choosePlatform(index(linux("arm64", "v8"), linux("s390x")), "x86_64", "x")).toThrow(
      expect.objectContaining({
        code: "IMAGE_NOT_FOUND",
        hint: "It is there for linux/arm64/v8, linux/s390x. In an emulated guest: --arch aarch64",
      }),
    );
  });
});

describe("a config", () => {
  const document = (config: unknown, rest: object = {}) =>
    parseImageDocument(
      json({ os: "linux", architecture: "amd64", config, rootfs: { diff_ids: [DIGEST] }, ...rest }),
      "x86_64",
      "x",
    );

  test("says how the image is run", () => {
    expect(
      document({
        Env: ["A=1", "B=x=y", "C=", "D", "=E", "A=2"],
        Entrypoint: ["e"],
        Cmd: null,
        User: "app:web",
        WorkingDir: "srv",
        StopSignal: "SIGINT",
      }),
    ).toMatchObject({
      config: {
        env: { A: "2", B: "x=y", C: "" },
        entrypoint: ["e"],
        cmd: [],
        user: "app:web",
        workdir: "/srv",
        stopSignal: "SIGINT",
      },
      diffIds: [DIGEST],
    });
  });

  test("says how it is known to be well", () => {
    const check = (value: unknown) => document({ Healthcheck: value }).config.healthCheck;
    expect(
      check({ Test: ["CMD", "curl", "-f", "x"], Interval: 5e9, Timeout: 1_500_000_000, Retries: 3 }),
    ).toEqual({
      command: ["curl", "-f", "x"],
      intervalMs: 5000,
      timeoutMs: 1500,
      startPeriodMs: undefined,
      retries: 3,
    });
    expect(check({ Test: ["CMD-SHELL", "test -f /ok"] })?.command).toBe("test -f /ok");
    for (const none of [undefined, {}, { Test: [] }, { Test: ["NONE"] }, { Test: ["CMD"] }, "x"])
      expect(check(none)).toBeUndefined();
  });

  test("may say nothing", () => {
    expect(document(null).config).toMatchObject({
      env: {},
      user: undefined,
      workdir: undefined,
      entrypoint: [],
      cmd: [],
    });
    expect(document({ User: "" }).config.user).toBeUndefined();
  });

  test.each<[string, unknown]>([
    ["a command that is a text", { Cmd: "sh -c x" }],
    ["an environment of numbers", { Env: [1] }],
    ["an argument with a NUL", { Cmd: ["a\0b"] }],
    ["a user that is a list", { User: ["root"] }],
    ["an environment without end", { Env: [`A=${"x".repeat(300_000)}`] }],
    ["volumes that are a list", { Volumes: ["/data"] }],
    ["a health check that is a text", { Healthcheck: { Test: "curl" } }],
  ])("with %s is refused", (_, config) => {
    expect(() => document(config)).toThrow(expect.objectContaining({ code: "IMAGE_INVALID" }));
  });

  test("may expose thousands of ports, and no more than there are", () => {
    const ports = (count: number) =>
      document({
        ExposedPorts: Object.fromEntries(Array.from({ length: count }, (_, port) => [`${port}/udp`, {}])),
      });
    expect(ports(16_385).config.exposedPorts).toHaveLength(16_385);
    expect(() => ports(65_537)).toThrow("no object of at most 65536");
  });

  test("of another machine is refused, with what it is for", () => {
    expect(() => document({}, { architecture: "arm64" })).toThrow(
      expect.objectContaining({ code: "IMAGE_NOT_FOUND", hint: expect.stringContaining("linux/arm64") }),
    );
  });

  test("a variable called __proto__ is a variable", () => {
    expect(Object.keys(document({ Env: ["__proto__=x"] }).config.env)).toEqual(["__proto__"]);
  });
});
