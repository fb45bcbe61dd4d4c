import { describe, expect, test } from "vitest";
import { parseReference } from "../../../../src/images/oci/reference.ts";

const HEX = "0123456789abcdef".repeat(4);

describe("references to images", () => {
  test.each([
    ["python", "docker.io", "library/python", "latest", undefined, "python:latest"],
    ["python:3.12", "docker.io", "library/python", "3.12", undefined, "python:3.12"],
    ["library/python:3.12", "docker.io", "library/python", "3.12", undefined, "python:3.12"],
    ["docker.io/python:3.12", "docker.io", "library/python", "3.12", undefined, "python:3.12"],
    ["index.docker.io/library/python", "docker.io", "library/python", "latest", undefined, "python:latest"],
    ["bitnami/redis", "docker.io", "bitnami/redis", "latest", undefined, "bitnami/redis:latest"],
    ["ghcr.io/o/i:v1", "ghcr.io", "o/i", "v1", undefined, "ghcr.io/o/i:v1"],
    ["ghcr.io/o/i", "ghcr.io", "o/i", "latest", undefined, "ghcr.io/o/i:latest"],
    [`ghcr.io/o/i@sha256:${HEX}`, "ghcr.io", "o/i", undefined, `sha256:${HEX}`, `ghcr.io/o/i@sha256:${HEX}`],
    [`a/b:1@sha256:${HEX}`, "docker.io", "a/b", "1", `sha256:${HEX}`, `a/b:1@sha256:${HEX}`],
    ["localhost/x", "localhost", "x", "latest", undefined, "localhost/x:latest"],
    ["localhost:5000/x:y", "localhost:5000", "x", "y", undefined, "localhost:5000/x:y"],
    ["127.0.0.1:5000/a/b/c", "127.0.0.1:5000", "a/b/c", "latest", undefined, "127.0.0.1:5000/a/b/c:latest"],
    ["[::1]:5000/x", "[::1]:5000", "x", "latest", undefined, "[::1]:5000/x:latest"],
    ["Registry/x", "Registry", "x", "latest", undefined, "Registry/x:latest"],
    ["a__b/c--d.e_f", "docker.io", "a__b/c--d.e_f", "latest", undefined, "a__b/c--d.e_f:latest"],
  ])("%s", (text, registry, repository, tag, digest, name) => {
    expect(parseReference(text)).toEqual({ kind: "registry", registry, repository, tag, digest, name });
    expect(parseReference(name)).toEqual(parseReference(text)); // the name means the same
  });

  test.each([
    ["oci:dir", "dir", undefined],
    ["oci:/a/b:1.0", "/a/b", "1.0"],
    ["oci:./a:b/c", "./a:b/c", undefined],
    ["oci:C:\\x", "C:\\x", undefined],
    ["oci:C:\\x:1", "C:\\x", "1"],
  ])("%s is a directory", (text, directory, tag) => {
    expect(parseReference(text)).toMatchObject({ kind: "oci", directory, tag });
  });

  test("docker-archive:FILE is a file, with any colons", () => {
    expect(parseReference("docker-archive:/a/b:c.tar")).toMatchObject({
      kind: "docker-archive",
      file: "/a/b:c.tar",
    });
  });

  test.each(
    [
      "",
      " ",
      "/",
      "a/",
      "/a",
      "a//b",
      "a:",
      ":a",
      "a:b:c",
      "-a",
      "a-",
      "a___b",
      "a..b",
      "ä",
      "a b",
      "a\nb",
      "../a",
      "a/../b",
      "ghcr.io/",
      "ghcr.io",
      "ghcr..io/a/b:x",
      "oci:",
      "docker-archive:",
      "a@sha256:12",
      `a@sha512:${HEX}`,
      `a@sha256:${HEX.toUpperCase()}`,
      `a:${"x".repeat(129)}`,
      "x".repeat(256),
      "h:999999/x",
      "docker://x",
    ].filter((text) => text !== "ghcr.io"),
  )("%j is refused", (text) => {
    expect(() => parseReference(text)).toThrow(expect.objectContaining({ code: "CONFIG_INVALID" }));
  });

  test("capitals are told with the name that was meant", () => {
    expect(() => parseReference("Python:3.12")).toThrow(
      expect.objectContaining({ hint: "Names are in lower case: python:3.12" }),
    );
  });
});
