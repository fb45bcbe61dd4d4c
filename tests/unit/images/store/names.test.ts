import { describe, expect, test } from "vitest";
import { findRecipe, RECIPES } from "../../../../src/images/rootfs/recipe.ts";
import { refFileName, refName } from "../../../../src/images/store/layout.ts";
import {
  checkImageName,
  imageNotFound,
  OWN_IMAGES,
  storeNames,
} from "../../../../src/images/store/reference.ts";

describe("an image's name", () => {
  test.each(["debian", "minimal", "a", "my-image_2.1", "x".repeat(64)])("%s is one", (name) => {
    expect(checkImageName(name)).toBe(name);
  });

  test.each([
    "python:3.12",
    "ghcr.io/acme/tool",
    "localhost:5000/x",
    "debian@sha256:abc",
    "docker.io/library/debian:12",
  ])("%s is a container reference: nothing that is made here is called so", (name) => {
    expect(() => checkImageName(name)).toThrow(
      expect.objectContaining({ code: "CONFIG_INVALID", hint: expect.stringContaining("smolvm image pull") }),
    );
  });

  test.each(["", "Debian", "-a", "a-", "../x", "a b", "x".repeat(65), "a\0", "/etc/passwd"])(
    "%j is none",
    (name) => {
      expect(() => checkImageName(name)).toThrow(expect.objectContaining({ code: "CONFIG_INVALID" }));
    },
  );
});

describe("what somebody may mean by an image", () => {
  test.each([
    ["debian", ["debian"]],
    ["minimal", ["minimal"]],
    ["debian:latest", ["debian:latest"]],
    ["docker.io/library/debian", ["debian:latest"]],
    ["mine", ["mine", "mine:latest"]],
    ["python:3.12", ["python:3.12"]],
    ["oci:/srv/layout:1", ["oci:/srv/layout:1"]],
    ["oci:layout", [`oci:${process.cwd()}/layout`]],
  ])("%s", (text, names) => {
    expect(storeNames(text)).toEqual(names);
  });

  test.each(["debian", "python:3.12", "ghcr.io/a/b", "h:5000/x:Tag_1", `oci:/${"d/".repeat(200)}`])(
    "the file of %s's reference is one on every file system",
    (name) => {
      const file = refFileName(name);
      expect(file).toMatch(/^[a-z0-9._%A-F-]{1,180}$/);
      expect(refName(file) ?? name).toBe(name);
    },
  );

  test("names that differ in capitals alone have different files everywhere", () => {
    expect(refFileName("x:Tag").toLowerCase()).not.toBe(refFileName("x:tag").toLowerCase());
  });
});

describe("an image that is not there", () => {
  test.each([
    ["debian", "x86_64", "x86_64", "Build it: smolvm image build debian"],
    ["debian", "aarch64", "aarch64", "Build it: smolvm image build debian"],
    ["minimal", "aarch64", "x86_64", "Build it: smolvm image build minimal --arch aarch64"],
    ["debian", "aarch64", "x86_64", "Build it: smolvm image build debian --arch aarch64"],
    ["mine", "x86_64", "x86_64", "Get it: smolvm image pull mine. What there is: smolvm image ls"],
    [
      "a/b:1",
      "aarch64",
      "x86_64",
      "Get it: smolvm image pull a/b:1 --arch aarch64. What there is: smolvm image ls",
    ],
  ] as const)("%s for %s on %s: %s", (name, arch, host, hint) => {
    expect(imageNotFound(name, arch, host)).toMatchObject({
      code: "IMAGE_NOT_FOUND",
      message: `there is no image '${name}' for ${arch}`,
      hint,
    });
  });
});

describe("a recipe", () => {
  test("is found by name, and says what can be built otherwise", () => {
    expect(findRecipe("debian", "x86_64").name).toBe("debian");
    expect(findRecipe("minimal", "aarch64").name).toBe("minimal");
    expect(() => findRecipe("alpine", "x86_64")).toThrow(
      expect.objectContaining({ code: "IMAGE_NOT_FOUND", hint: expect.stringContaining("debian, minimal") }),
    );
  });

  test("is there for each image that an error says how to build", () => {
    expect(RECIPES.map((recipe) => recipe.name)).toEqual(OWN_IMAGES);
  });

  test("has a name that an image may have", () => {
    for (const { name } of RECIPES) expect(checkImageName(name)).toBe(name);
  });
});
