import { describe, expect, test } from "vitest";
import { parseChallenge } from "../../../../src/images/registry/challenge.ts";
import {
  type AuthFile,
  authFiles,
  helperFor,
  storedCredentials,
} from "../../../../src/images/registry/credentials.ts";
import { isLoopback, proxyFor } from "../../../../src/images/registry/plain-hosts.ts";
import { isPassing, waitMs } from "../../../../src/images/registry/retry.ts";

describe("a challenge", () => {
  test.each([
    [
      'Bearer realm="https://auth/token",service="registry",scope="repository:a/b:pull"',
      { scheme: "bearer", realm: "https://auth/token", service: "registry", scope: "repository:a/b:pull" },
    ],
    [
      'bearer  realm = "https://a" , scope="repository:a:pull,push"',
      { scheme: "bearer", realm: "https://a", scope: "repository:a:pull,push" },
    ],
    ['Basic realm="x"', { scheme: "basic" }],
    ['Basic realm="x", Bearer realm="https://a"', { scheme: "bearer", realm: "https://a" }],
    ['Bearer realm="a\\"b"', { scheme: "bearer", realm: 'a"b' }],
    ["Bearer realm=https://a", { scheme: "bearer", realm: "https://a" }],
    ["Negotiate", undefined],
    ["Bearer", undefined],
    ["", undefined],
    ["=,=,=", undefined],
    [`Bearer realm="${"x".repeat(10_000)}"`, undefined],
  ])("%s", (header, challenge) => {
    expect(parseChallenge(header)).toEqual(
      challenge === undefined ? undefined : expect.objectContaining(challenge),
    );
  });
});

describe("credentials", () => {
  const encoded = (text: string) => ({ auth: Buffer.from(text).toString("base64") });
  const file = (auths: object, rest: Partial<AuthFile> = {}): AuthFile => ({
    path: "f",
    auths: auths as AuthFile["auths"],
    credHelpers: {},
    credsStore: undefined,
    ...rest,
  });

  test.each<[string, object, string, string, string | undefined]>([
    ["by host", { "ghcr.io": encoded("me:pass:word") }, "ghcr.io", "a/b", "me:pass:word"],
    ["by host, as an address", { "https://ghcr.io/v2/": encoded("me:x") }, "ghcr.io", "a/b", "me:x"],
    [
      "of Docker's registry",
      { "https://index.docker.io/v1/": encoded("me:x") },
      "docker.io",
      "library/a",
      "me:x",
    ],
    [
      "of a repository before its host's",
      { "ghcr.io": encoded("all:x"), "ghcr.io/a": encoded("a:x") },
      "ghcr.io",
      "a/b",
      "a:x",
    ],
    [
      "not of another host",
      { "ghcr.io.evil.example": encoded("me:x"), "evil.example": encoded("me:x") },
      "ghcr.io",
      "a",
      undefined,
    ],
    ["not of another port", { "localhost:5000": encoded("me:x") }, "localhost:5001", "a", undefined],
    ["in two fields", { h: { username: "me", password: "x" } }, "h", "a", "me:x"],
    ["that are none", { h: { auth: "" }, i: null }, "h", "a", undefined],
    ["and nothing that every object has", {}, "constructor", "toString", undefined],
  ])("%s", (_, auths, registry, repository, found) => {
    const credentials = storedCredentials(file(auths), registry, repository);
    expect(credentials && `${credentials.username}:${credentials.password}`).toBe(found);
  });

  test("an identity token is one", () => {
    expect(
      storedCredentials(file({ h: { ...encoded("<token>:"), identitytoken: "t" } }), "h", "a"),
    ).toMatchObject({ identityToken: "t" });
  });

  test("a helper is the registry's own, else the one for all", () => {
    const both = file({}, { credHelpers: { "ghcr.io": "gh" }, credsStore: "desktop" });
    expect(helperFor(both, "ghcr.io")).toBe("docker-credential-gh");
    expect(helperFor(both, "quay.io")).toBe("docker-credential-desktop");
    expect(helperFor(file({}), "quay.io")).toBeUndefined();
    expect(() => helperFor(file({}, { credsStore: "../../bin/sh" }), "h")).toThrow(
      expect.objectContaining({ code: "CONFIG_INVALID" }),
    );
  });

  test("are in the file that the environment names alone, else in Docker's and Podman's", () => {
    expect(authFiles({ registryAuthFile: "/a", userHome: "/home/me" })).toEqual(["/a"]);
    expect(authFiles({ userHome: "/home/me", xdgRuntimeDir: "/run/user/1" })).toEqual([
      "/home/me/.docker/config.json",
      "/run/user/1/containers/auth.json",
    ]);
    expect(authFiles({ dockerConfig: "/etc/d", userHome: "/home/me" })).toEqual(["/etc/d/config.json"]);
  });
});

describe("a proxy", () => {
  const proxies = {
    httpsProxy: "http://proxy:3128",
    httpProxy: "proxy:8080",
    noProxy: "corp.example, .inner.example,h:5000,10.0.0.1",
  };
  test.each([
    ["https://ghcr.io/v2/", "http://proxy:3128/"],
    ["http://ghcr.io/v2/", "http://proxy:8080/"],
    ["https://corp.example/", undefined],
    ["https://a.corp.example/", undefined],
    ["https://notcorp.example/", "http://proxy:3128/"],
    ["https://x.inner.example/", undefined],
    ["https://h:5000/", undefined],
    ["https://h:5001/", "http://proxy:3128/"],
    ["https://10.0.0.1/", undefined],
    ["https://127.0.0.1:5000/", undefined],
    ["https://localhost/", undefined],
    ["https://[::1]/", undefined],
  ])("for %s", (url, proxy) => {
    expect(proxyFor(new URL(url), proxies)?.href).toBe(proxy);
  });

  test("is none with NO_PROXY=*", () => {
    expect(proxyFor(new URL("https://a/"), { ...proxies, noProxy: "*" })).toBeUndefined();
  });
});

test.each([
  ["localhost", true],
  ["a.localhost", true],
  ["127.8.9.1", true],
  ["[::1]", true],
  ["127.0.0.1.example.com", false],
  ["localhost.example.com", false],
  ["10.0.0.1", false],
])("%s is this machine: %s", (host, is) => {
  expect(isLoopback(host)).toBe(is);
});

describe("a retry", () => {
  test.each([
    [0, undefined, 250],
    [3, undefined, 2000],
    [0, "7", 7000],
    [0, "0", 0],
    [0, "Thu, 01 Jan 1970 00:00:30 GMT", 20_000],
    [0, "Thu, 01 Jan 1970 00:00:01 GMT", 0],
    [1, "soon", 500],
  ])("after attempt %i, told %s, is in %i ms", (attempt, header, ms) => {
    expect(waitMs(attempt, header, 10_000)).toBe(ms);
  });

  test("is for what may pass", () => {
    expect([200, 401, 403, 404, 408, 429, 500, 501, 502, 503, 504].filter(isPassing)).toEqual([
      408, 429, 500, 502, 503, 504,
    ]);
  });
});
