import { expect, test } from "vitest";
import { nameAfter, poolCreate } from "../../../../src/cli/commands/pool-create.ts";
import { NAME_PATTERN } from "../../../../src/config/schema.ts";

test("a pool is called after its image, also where that is a reference to a registry", () => {
  const names = {
    debian: "debian",
    "python:3.12": "python-3-12",
    [`ghcr.io/o/Some.Image@sha256:${"5f".repeat(32)}`]: "some-image",
    "oci:/srv/images:web": "images-web",
    [`r/${"a".repeat(70)}`]: "a".repeat(64),
  };
  for (const [image, name] of Object.entries(names)) {
    expect(nameAfter(image)).toBe(name);
    expect(name).toMatch(NAME_PATTERN);
  }
  expect(nameAfter("./..")).toBe("./.."); // is refused, as it was given
});

test("what a pool's sandboxes cannot have is no option of it", () => {
  const options = poolCreate.spec.options.map(({ name }) => name);
  for (const name of ["volume", "yes-share-it", "publish", "hostname", "ttl"])
    expect(options).not.toContain(name);
});
