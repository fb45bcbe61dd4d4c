import { expect, test } from "vitest";
import { qemuOption } from "../../../../src/backends/qemu/option.ts";

test("a comma in a value is doubled, so that it ends no value", () => {
  expect(qemuOption("socket", { id: "a", path: "/tmp/a,b,readonly=on" })).toBe(
    "socket,id=a,path=/tmp/a,,b,,readonly=on",
  );
});

test("booleans become on and off, and what is undefined is left out", () => {
  expect(qemuOption("x", { a: true, b: false, c: undefined, d: 3 })).toBe("x,a=on,b=off,d=3");
});

test("an option may have no head", () => {
  expect(qemuOption("", { driver: "file", romfile: "" })).toBe("driver=file,romfile=");
});
