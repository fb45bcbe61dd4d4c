import { describe, expect, test } from "vitest";
import { findRecipe, RECIPES } from "../../../../src/images/rootfs/recipe.ts";
import { checkImageName, imageNotFound, OWN_IMAGES } from "../../../../src/images/store/reference.ts";

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
  ])("%s is a container reference, which says what to do instead", (name) => {
    expect(() => checkImageName(name)).toThrow(
      expect.objectContaining({
        code: "NOT_SUPPORTED",
        message: `'${name}' looks like a container image, and these cannot be used yet`,
        hint: expect.stringContaining("rootfsPath"),
      }),
    );
  });

  test.each(["", "Debian", "-a", "a-", "../x", "a b", "x".repeat(65), "a\0", "/etc/passwd"])(
    "%j is none",
    (name) => {
      expect(() => checkImageName(name)).toThrow(
        expect.objectContaining({ code: expect.stringMatching(/CONFIG_INVALID|NOT_SUPPORTED/) }),
      );
    },
  );
});

describe("an image that is not there", () => {
  test.each([
    ["debian", "x86_64", "x86_64", "Build it: smolvm image build debian"],
    ["debian", "aarch64", "aarch64", "Build it: smolvm image build debian"],
    ["minimal", "aarch64", "x86_64", "Build it: smolvm image build minimal --arch aarch64"],
    ["debian", "aarch64", "x86_64", "Build it: smolvm image build debian --arch aarch64"],
    ["mine", "x86_64", "x86_64", "See what there is: smolvm image ls"],
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
