import { describe, expect, test } from "vitest";
import { uncompressedDebHead } from "../../../../src/images/formats/deb.ts";

const member = (name: string, data: string): Buffer =>
  Buffer.from(
    `${name.padEnd(16)}${"0".padEnd(12)}${"0".padEnd(6)}${"0".padEnd(6)}${"100644".padEnd(8)}${String(data.length).padEnd(10)}\`\n${data}${data.length % 2 ? "\n" : ""}`,
  );
const head = Buffer.concat([
  Buffer.from("!<arch>\n"),
  member("debian-binary", "2.0\n"),
  member("control.tar.xz", "odd"),
]);

describe("a Debian package without compression", () => {
  test("keeps its control files and announces the data that follow", () => {
    const deb = Buffer.concat([head, member("data.tar.xz", "packed")]);
    const made = Buffer.from(uncompressedDebHead(deb, 1234)).toString();
    expect(made).toBe(
      `${head.toString()}${"data.tar".padEnd(16)}${"0".padEnd(12)}${"0".padEnd(6)}${"0".padEnd(6)}${"100644".padEnd(8)}${"1234".padEnd(10)}\`\n`,
    );
  });

  test.each([
    ["something else", Buffer.from("!<orch>\n")],
    ["one that is cut off", head.subarray(0, head.length - 2)],
    ["one without control files", Buffer.concat([head.subarray(0, 72), member("data.tar.xz", "packed")])],
  ])("is not made of %s", (_name, deb) => {
    expect(() => uncompressedDebHead(deb, 1)).toThrow("a Debian package is damaged");
  });
});
