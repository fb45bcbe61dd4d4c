import { bytes, hex, number, record, text } from "./bytes.ts";
import type { Message, Vector } from "./vector.ts";

function tree(name: string, content: string, records: readonly Message[], canonical = true): Vector {
  return {
    name,
    direction: "guest",
    layer: "records",
    record: "TreeRecord",
    bytes: hex(content),
    ...(canonical ? { canonical: true } : {}),
    records,
  };
}

function refused(name: string, content: string, error: string, records: readonly Message[] = []): Vector {
  return {
    name,
    direction: "guest",
    layer: "records",
    record: "TreeRecord",
    bytes: hex(content),
    records,
    error,
  };
}

const root = record(bytes(1, hex(number(2, 2), number(3, 0o755))));
const ROOT: Message = { entry: { type: 2, mode: 493 } };

/** The content of channels that carry records. Only their form: what a tree may hold is checked a layer above. */
export const RECORDS: readonly Vector[] = [
  tree(
    "a tree: a directory, a file in two pieces, a symlink",
    hex(
      "07 0a 05 10 02 18 ed03",
      record(bytes(1, hex(bytes(1, text("a")), number(2, 1), number(3, 0o644), number(4, 5)))),
      "05 12 03 68656c",
      "04 12 02 6c6f",
      "02 18 01",
      record(bytes(1, hex(bytes(1, text("l")), number(2, 3), number(3, 0o777), bytes(9, text("a"))))),
    ),
    [
      ROOT,
      { entry: { path: text("a"), type: 1, mode: 420, size: 5 } },
      { data: "68656c" },
      { data: "6c6f" },
      { end: true },
      { entry: { path: text("l"), type: 3, mode: 511, target: text("a") } },
    ],
  ),
  tree(
    "an empty file",
    hex(root, record(bytes(1, hex(bytes(1, text("e")), number(2, 1), number(3, 0o600)))), "02 18 01"),
    [ROOT, { entry: { path: text("e"), type: 1, mode: 384 } }, { end: true }],
  ),
  tree("a piece of 300 bytes: a length of two bytes", hex("af02 12 ac02", "78".repeat(300)), [
    { data: "78".repeat(300) },
  ]),
  tree("a hard link", record(bytes(1, hex(bytes(1, text("b/h")), number(2, 5), bytes(9, text("a/f"))))), [
    { entry: { path: text("b/h"), type: 5, target: text("a/f") } },
  ]),
  tree(
    "a file and a directory with extended attributes",
    hex(
      record(
        hex(
          bytes(1, hex(bytes(1, text("d")), number(2, 2), number(3, 0o755))),
          bytes(9, hex(bytes(1, text("user.a")), bytes(2, "00ff"))),
        ),
      ),
      record(
        hex(
          bytes(1, hex(bytes(1, text("f")), number(2, 1), number(3, 0o755))),
          bytes(9, hex(bytes(1, text("user.a")), bytes(2, "61"))),
          bytes(9, hex(bytes(1, text("user.b")), bytes(2, "62"))),
        ),
      ),
    ),
    [
      {
        entry: { path: text("d"), type: 2, mode: 493 },
        attributes: [{ name: text("user.a"), value: "00ff" }],
      },
      {
        entry: { path: text("f"), type: 1, mode: 493 },
        attributes: [
          { name: text("user.a"), value: "61" },
          { name: text("user.b"), value: "62" },
        ],
      },
    ],
  ),
  tree("nothing", "", []),
  tree("a name that is not UTF-8", record(bytes(1, hex(bytes(1, "ff2e"), number(2, 2)))), [
    { entry: { path: "ff2e", type: 2 } },
  ]),
  tree("an empty record is an empty message", "00", [{}], false),
  tree("a padded length", "82 00 18 01", [{ end: true }], false),
  tree("unknown fields are skipped", hex(record(hex("18 01", number(15, 1)))), [{ end: true }], false),
  tree("a record that is not complete yet gives nothing", hex(root, "05 12 03 68"), [ROOT], false),
  refused("a record of 65,537 bytes", "81 80 04", "record too long"),
  refused("a length of four bytes", "80 80 80 01", "record too long"),
  refused("a length of four bytes that is 2", "82 80 80 00", "record too long"),
  refused("a broken record after a good one", hex(root, "02 18 80"), "ends in a varint", [ROOT]),
  refused("a record with a fixed32", hex("05 15 00000000"), "wire type 5"),
  {
    name: "a difference: an opaque directory, a file that is the same, a device, one with an attribute, what was removed",
    direction: "guest",
    layer: "records",
    record: "DifferenceRecord",
    bytes: hex(
      record(hex(bytes(1, hex(bytes(1, text("d")), number(2, 2), number(3, 0o755))), number(5, 1))),
      record(
        hex(bytes(1, hex(bytes(1, text("d/s")), number(2, 1), number(3, 0o644), number(4, 3))), number(6, 1)),
      ),
      record(
        hex(bytes(1, hex(bytes(1, text("n")), number(2, 8), number(3, 0o600))), number(7, 1), number(8, 3)),
      ),
      record(
        hex(
          bytes(1, hex(bytes(1, text("p")), number(2, 1), number(3, 0o755), number(4, 1))),
          bytes(9, hex(bytes(1, text("user.a")), bytes(2, "00ff"))),
        ),
      ),
      record(bytes(2, "78")),
      record(number(3, 1)),
      record(bytes(4, text("r"))),
    ),
    canonical: true,
    records: [
      { entry: { path: text("d"), type: 2, mode: 493 }, opaque: true },
      { entry: { path: text("d/s"), type: 1, mode: 420, size: 3 }, same: true },
      { entry: { path: text("n"), type: 8, mode: 384 }, major: 1, minor: 3 },
      {
        entry: { path: text("p"), type: 1, mode: 493, size: 1 },
        attributes: [{ name: text("user.a"), value: "00ff" }],
      },
      { data: "78" },
      { end: true },
      { removed: text("r") },
    ],
  },
  {
    name: "list: two entries",
    direction: "guest",
    layer: "records",
    record: "FileInfo",
    canonical: true,
    bytes: hex("0c 0a 01 61 10 01 18 a403 20 05 28 02", "08 0a 02 2e2e 10 02 30 01"),
    records: [
      { path: text("a"), type: 1, mode: 420, size: 5, mtime_s: 2 },
      { path: text(".."), type: 2, mtime_ns: 1 },
    ],
  },
  {
    name: "file_watch: an event of each kind",
    direction: "guest",
    layer: "records",
    record: "FileEvent",
    canonical: true,
    bytes: hex(
      "07 08 01 12 01 64 20 01",
      "07 08 02 12 03 64 2f 66",
      "0a 08 04 12 01 67 1a 03 64 2f 66",
      "05 08 03 12 01 67",
      "02 08 05",
      "02 08 03",
    ),
    records: [
      { kind: 1, path: text("d"), directory: true },
      { kind: 2, path: text("d/f") },
      { kind: 4, path: text("g"), from: text("d/f") },
      { kind: 3, path: text("g") },
      { kind: 5 },
      { kind: 3 },
    ],
  },
  {
    name: "door: connections to a name, and to an address of each family",
    direction: "guest",
    layer: "records",
    record: "DoorConnection",
    canonical: true,
    bytes: hex(
      record(hex(number(1, 1), bytes(2, text("example.test")), number(4, 443))),
      record(hex(number(1, 300), bytes(3, "0a000001"), number(4, 22))),
      record(hex(number(1, 4_294_967_295), bytes(3, "20010db8000000000000000000000001"), number(4, 65_535))),
    ),
    records: [
      { connection: 1, name: text("example.test"), port: 443 },
      { connection: 300, address: "0a000001", port: 22 },
      { connection: 4_294_967_295, address: "20010db8000000000000000000000001", port: 65_535 },
    ],
  },
  {
    name: "process_list: one that runs, one that has ended",
    direction: "guest",
    layer: "records",
    record: "Process",
    canonical: true,
    bytes: hex(
      record(
        hex(
          number(1, 1),
          number(2, 321),
          bytes(3, text("sleep")),
          bytes(3, text("9")),
          "2001",
          number(9, 1_763_800_000),
          bytes(10, text("root")),
          number(11, 3),
        ),
      ),
      record(hex(number(1, 2), number(2, 322), bytes(3, ""), number(5, 3), number(6, 15), "3801", "4001")),
    ),
    records: [
      {
        process: 1,
        pid: 321,
        argv: [text("sleep"), text("9")],
        running: true,
        started_s: 1_763_800_000,
        user: text("root"),
        processes: 3,
      },
      { process: 2, pid: 322, argv: [""], exit_code: 3, signal: 15, detached: true, pty: true },
    ],
  },
];
