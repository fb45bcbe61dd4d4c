import { describe, expect, test } from "vitest";
import { encodeEntry, padding } from "../../../../src/util/tar/header.ts";
import { encodePax } from "../../../../src/util/tar/pax.ts";
import { TarReader } from "../../../../src/util/tar/reader.ts";

function entry(name: string, type: string, content: Buffer, patch?: (block: Buffer) => void): Buffer {
  const plain = { mode: 0o644, uid: 0, gid: 0, mtime: 0, linkName: Buffer.alloc(0) };
  const block = Buffer.from(encodeEntry({ ...plain, name: Buffer.from(name), type, size: content.length }));
  if (patch !== undefined) {
    patch(block);
    block.write("        ", 148, "latin1");
    const sum = block.reduce((total, byte) => total + byte, 0);
    block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  }
  return Buffer.concat([block, content, Buffer.alloc(padding(content.length))]);
}

/** An extended header with these fields, and a file of that content. */
function pax(fields: readonly (readonly [string, string])[], content: string): Buffer {
  const records = encodePax(fields.map(([key, value]) => [`GNU.sparse.${key}`, Buffer.from(value)] as const));
  return Buffer.concat([entry("pax", "x", records), entry("f", "0", Buffer.from(content))]);
}

const octal = (value: number): string => `${value.toString(8).padStart(11, "0")}\0`;

/** A sparse file of GNU's with these parts. */
function gnu(size: number, parts: readonly (readonly [number, number])[], content: string): Buffer {
  return entry("f", "S", Buffer.from(content), (block) => {
    parts.forEach(([offset, length], index) => {
      block.write(octal(offset), 386 + index * 24, "latin1");
      block.write(octal(length), 398 + index * 24, "latin1");
    });
    block.write(octal(size), 483, "latin1");
  });
}

function read(archive: Buffer): string {
  const reader = new TarReader({ sparse: true });
  let said = "";
  for (const step of reader.push(Buffer.concat([archive, Buffer.alloc(1024)]))) {
    if (step.step === "entry") said += `${Buffer.from(step.entry.path)} ${step.entry.size}: `;
    else if (step.step === "data") said += step.data.toString().replaceAll("\0", ".");
  }
  reader.finish();
  return said;
}

describe("a sparse file", () => {
  test.each<[string, Buffer, string]>([
    [
      "of GNU's",
      gnu(
        9,
        [
          [2, 3],
          [6, 1],
          [9, 0],
        ],
        "abcd",
      ),
      "f 9: ..abc.d..",
    ],
    ["of GNU's that is a hole", gnu(3, [[3, 0]], ""), "f 3: ..."],
    [
      "of pax 0.0",
      pax(
        [
          ["size", "6"],
          ["numblocks", "1"],
          ["offset", "2"],
          ["numbytes", "3"],
        ],
        "abc",
      ),
      "f 6: ..abc.",
    ],
    [
      "of pax 0.1",
      pax(
        [
          ["size", "6"],
          ["map", "2,3"],
          ["name", "own"],
        ],
        "abc",
      ),
      "own 6: ..abc.",
    ],
    [
      "of pax 1.0",
      pax(
        [
          ["major", "1"],
          ["minor", "0"],
          ["realsize", "6"],
        ],
        `${"1\n2\n3\n".padEnd(512, "\0")}abc`,
      ),
      "f 6: ..abc.",
    ],
    [
      "of pax 1.0 that is a hole",
      pax(
        [
          ["major", "1"],
          ["minor", "0"],
          ["realsize", "2"],
        ],
        "0\n".padEnd(512, "\0"),
      ),
      "f 2: ..",
    ],
  ])("%s is read with its holes", (_, archive, said) => {
    expect(read(archive)).toBe(said);
  });

  const one = [
    ["major", "1"],
    ["minor", "0"],
    ["realsize", "6"],
  ] as const;
  test.each<[string, Buffer]>([
    [
      "whose parts overlap",
      gnu(
        9,
        [
          [2, 3],
          [4, 1],
        ],
        "abcd",
      ),
    ],
    ["whose parts are behind its end", gnu(4, [[2, 3]], "abc")],
    ["of which more is stored than its parts have", gnu(9, [[2, 3]], "abcd")],
    [
      "of which less is stored than its parts have",
      pax(
        [
          ["size", "6"],
          ["map", "2,3"],
        ],
        "ab",
      ),
    ],
    [
      "whose list is odd",
      pax(
        [
          ["size", "6"],
          ["map", "2,3,4"],
        ],
        "abc",
      ),
    ],
    [
      "whose list has words",
      pax(
        [
          ["size", "6"],
          ["map", "2,x"],
        ],
        "abc",
      ),
    ],
    [
      "of a later format",
      pax(
        [
          ["major", "2"],
          ["minor", "0"],
        ],
        "abc",
      ),
    ],
    ["with a field that is not known", pax([["holes", "2"]], "abc")],
    ["whose list is no numbers", pax(one, "x\n".padEnd(512, "\0"))],
    ["whose list is longer than its content", pax(one, "9\n1\n")],
    ["whose list has a million parts", pax(one, "1000000\n".padEnd(512, "\0"))],
    ["whose list has a number without end", pax(one, "1".padEnd(512, "1"))],
  ])("%s is refused", (_, archive) => {
    expect(() => read(archive)).toThrow(expect.objectContaining({ code: "FILE_FAILED" }));
  });
});
