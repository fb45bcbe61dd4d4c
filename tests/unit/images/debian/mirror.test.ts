import { expect, test } from "vitest";
import { mirrorIn } from "../../../../src/images/debian/mirror.ts";

test("the mirror is the host's own archive of the release, not its updates or another release", () => {
  const targets = [
    "http://mirror.example/debian/ trixie main",
    "http://mirror.example/debian-security/ bookworm-security main",
    "http://near.example/debian/ bookworm contrib",
    "http://near.example/debian/ bookworm main",
  ].join("\n");
  expect(mirrorIn(targets)).toBe("http://near.example/debian");
  expect(mirrorIn("http://archive.example/ubuntu/ noble main\n")).toBeUndefined();
});
