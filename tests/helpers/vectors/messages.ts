import { bytes, frame, hex, number, type TypeName, text } from "./bytes.ts";
import type { Message, Vector } from "./vector.ts";

const HOST_TYPES: readonly TypeName[] = ["OPEN", "CONTROL", "HELLO"];

/** A message in its canonical form, alone in a frame. */
function canonical(name: string, type: TypeName, payload: string, message: Message): Vector {
  return { ...lenient(name, type, payload, message), canonical: true };
}

/** A message in a form that is understood and not written. */
function lenient(name: string, type: TypeName, payload: string, message: Message): Vector {
  const stream = type === "GOODBYE" ? 0 : 1;
  const clean = hex(payload);
  return {
    name,
    direction: HOST_TYPES.includes(type) ? "host" : "guest",
    layer: "frames",
    bytes: frame(type, stream, clean),
    frames: [{ stream, type, flags: 0, payload: clean, message }],
  };
}

function refused(name: string, type: TypeName, payload: string, error: string): Vector {
  const { direction, bytes: all } = lenient(name, type, payload, {});
  return { name, direction, layer: "frames", bytes: all, frames: [], error };
}

const longOpen = bytes(1, bytes(2, "78".repeat(300)));

/** Requests, answers, and what their fields may look like. */
export const MESSAGES: readonly Vector[] = [
  // requests, literally
  canonical("exec of a shell line", "OPEN", "0a 09 12 07 6563686f206869 f001 808010", {
    exec: { shell: text("echo hi") },
    window: 262_144,
  }),
  canonical(
    "exec with everything",
    "OPEN",
    hex(
      bytes(
        1,
        hex(
          "0a 04 6563686f", // argv "echo"
          "0a 00", // argv "": an empty argument stays
          "0a 02 c328", // argv: not UTF-8
          "1a 05 413d6220 63", // env "A=b c"
          "22 04 2f746d70", // cwd "/tmp"
          "2a 06 6e6f626f6479", // user "nobody"
          "32 04 08 50 10 18", // pty 80 x 24
          "38 01", // detached
          "40 01", // stdin
          "4a 06 08 64 10 8080 40", // limits: 100 processes, 1 MiB
        ),
      ),
      "f001 8080 8008", // window 16 MiB
    ),
    {
      exec: {
        argv: [text("echo"), "", "c328"],
        env: [text("A=b c")],
        cwd: text("/tmp"),
        user: text("nobody"),
        pty: { cols: 80, rows: 24 },
        detached: true,
        stdin: true,
        limits: { pids: 100, memory_bytes: 1_048_576 },
      },
      window: 16_777_216,
    },
  ),
  canonical("a request with the host's clock", "OPEN", "9201 00 f801 80d0eab6b733", {
    info: {},
    clock_ms: 1_767_225_600_000,
  }),
  canonical("attach", "OPEN", "12 03 08 ac02", { attach: { process: 300 } }),
  canonical("process_list", "OPEN", "1a 00", { process_list: {} }),
  canonical("process_signal", "OPEN", "22 06 08 05 10 0f 18 01", {
    process_signal: { process: 5, signal: 15, tree: true },
  }),
  canonical(
    "file_read from an offset beyond 4 GiB",
    "OPEN",
    hex(bytes(5, hex(bytes(1, text("/a")), number(2, 2 ** 40), number(3, 4096)))),
    {
      file_read: { path: text("/a"), offset: 1_099_511_627_776, length: 4096 },
    },
  ),
  canonical(
    "file_write",
    "OPEN",
    hex(
      bytes(
        6,
        hex(
          bytes(1, text("/a/b")),
          number(2, 0o644),
          "1801",
          number(4, 1_700_000_000),
          number(5, 999_999_999),
          "3001",
          bytes(7, text("1000:1000")),
          "4001",
          bytes(9, "00ff"),
        ),
      ),
    ),
    {
      file_write: {
        path: text("/a/b"),
        mode: 420,
        parents: true,
        mtime_s: 1_700_000_000,
        mtime_ns: 999_999_999,
        exclusive: true,
        user: text("1000:1000"),
        append: true,
        if_version: "00ff",
      },
    },
  ),
  canonical("stat", "OPEN", "3a 03 0a 01 2f", {
    stat: { path: text("/") },
  }),
  canonical("stat that follows links", "OPEN", "3a 05 0a 01 2f 10 01", {
    stat: { path: text("/"), follow: true },
  }),
  canonical("list", "OPEN", "42 03 0a 01 2f", { list: { path: text("/") } }),
  canonical("list of three levels", "OPEN", "42 05 0a 01 2f 18 03", { list: { path: text("/"), depth: 3 } }),
  canonical("mkdir", "OPEN", "4a 09 0a 02 2f61 10 01 18 ed03", {
    mkdir: { path: text("/a"), parents: true, mode: 493 },
  }),
  canonical("remove", "OPEN", "52 08 0a 02 2f61 10 01 18 01", {
    remove: { path: text("/a"), recursive: true, force: true },
  }),
  canonical("rename", "OPEN", "5a 0a 0a 02 2f61 12 02 2f62 18 01", {
    rename: { from: text("/a"), to: text("/b"), replace: true },
  }),
  canonical("tree_read", "OPEN", "62 04 0a 02 2f61", { tree_read: { path: text("/a") } }),
  canonical("tree_write", "OPEN", "6a 06 0a 02 2f61 18 01", {
    tree_write: { path: text("/a"), keep_owner: true },
  }),
  canonical("file_watch", "OPEN", "a201 0e 0a 02 2f61 10 01 1a 06 6e6f626f6479", {
    file_watch: { path: text("/a"), recursive: true, user: text("nobody") },
  }),
  canonical("file_watch of one directory", "OPEN", "a201 03 0a 01 2f", { file_watch: { path: text("/") } }),
  canonical("file_copy", "OPEN", "aa01 16 0a 02 2f61 12 02 2f62 18 01 22 06 6e6f626f6479 28 01 30 01", {
    file_copy: {
      from: text("/a"),
      to: text("/b"),
      replace: true,
      user: text("nobody"),
      recursive: true,
      parents: true,
    },
  }),
  canonical("difference", "OPEN", hex(bytes(28, hex(number(1, 1_763_800_000), number(2, 5)))), {
    difference: { since_s: 1_763_800_000, since_ns: 5 },
  }),
  canonical("difference: a directory", "OPEN", hex(bytes(28, bytes(4, text("/a")))), {
    difference: { path: text("/a") },
  }),
  canonical("difference: the base", "OPEN", hex(bytes(28, number(3, 1))), { difference: { base: true } }),
  canonical("forward to a port", "OPEN", "72 03 10 903f", { forward: { port: 8080 } }),
  canonical("forward to a Unix socket", "OPEN", "72 04 1a 02 2f73", { forward: { unix: text("/s") } }),
  canonical("sync", "OPEN", "7a 00", { sync: {} }),
  canonical("shutdown (a tag of two bytes)", "OPEN", "8201 03 08 f403", { shutdown: { grace_ms: 500 } }),
  canonical("shutdown with the default grace", "OPEN", "8201 00", { shutdown: {} }),
  canonical("shutdown by another signal", "OPEN", "8201 05 08 e807 10 03", {
    shutdown: { grace_ms: 1000, signal: 3 },
  }),
  canonical(
    "configure",
    "OPEN",
    hex(
      bytes(
        17,
        hex(
          bytes(1, "00ff10"),
          number(2, 1_763_800_000),
          number(3, 5),
          bytes(4, text("box")),
          bytes(5, text("0123456789abcdef0123456789abcdef")),
          bytes(
            6,
            hex(
              bytes(1, text("eth0")),
              bytes(2, text("10.0.2.15/24")),
              bytes(3, text("10.0.2.2")),
              bytes(4, text("10.0.2.3")),
              bytes(4, text("1.1.1.1")),
              number(5, 1500),
              bytes(6, text("fd00::2/64")),
              bytes(7, text("fd00::1")),
              bytes(8, "525400736d6c"),
            ),
          ),
          number(7, 2_147_483_648),
          bytes(8, text("fedcba9876543210fedcba9876543210")),
          bytes(9, number(1, 2000)),
          bytes(10, hex(bytes(1, text("extra-0")), bytes(2, text("/data")), bytes(3, text("ext4")))),
          bytes(
            10,
            hex(
              bytes(1, text("extra-1")),
              bytes(2, text("/opt/t")),
              bytes(3, text("squashfs")),
              number(4, 1),
            ),
          ),
          bytes(11, text("/srv/app")),
          bytes(12, text("nobody")),
          bytes(
            13,
            hex(bytes(1, text("/sbin/init")), bytes(1, text("--log")), bytes(2, text("container=smolvm"))),
          ),
        ),
      ),
    ),
    {
      configure: {
        entropy: "00ff10",
        clock_s: 1_763_800_000,
        clock_ns: 5,
        hostname: text("box"),
        machine_id: text("0123456789abcdef0123456789abcdef"),
        network: {
          interface: text("eth0"),
          address: text("10.0.2.15/24"),
          gateway: text("10.0.2.2"),
          dns: [text("10.0.2.3"), text("1.1.1.1")],
          mtu: 1500,
          ipv6_address: text("fd00::2/64"),
          ipv6_gateway: text("fd00::1"),
          mac: "525400736d6c",
        },
        disk_bytes: 2_147_483_648,
        generation: text("fedcba9876543210fedcba9876543210"),
        limits: { pids: 2000 },
        mounts: [
          { serial: text("extra-0"), path: text("/data"), kind: text("ext4") },
          { serial: text("extra-1"), path: text("/opt/t"), kind: text("squashfs"), read_only: true },
        ],
        workdir: text("/srv/app"),
        user: text("nobody"),
        init: { argv: [text("/sbin/init"), text("--log")], env: [text("container=smolvm")] },
      },
    },
  ),
  canonical(
    "configure with a door",
    "OPEN",
    bytes(17, bytes(6, hex(bytes(4, text("198.18.0.1")), number(9, 1)))),
    {
      configure: { network: { dns: [text("198.18.0.1")], door: true } },
    },
  ),
  canonical("configure with a card that goes down", "OPEN", bytes(17, bytes(6, hex(number(10, 1)))), {
    configure: { network: { down: true } },
  }),
  canonical("door", "OPEN", "b201 00", { door: {} }),
  canonical("door_accept", "OPEN", "ba01 03 08 ac02", { door_accept: { connection: 300 } }),
  canonical("door_accept of the next connection", "OPEN", "ba01 02 10 01", { door_accept: { next: true } }),
  canonical("bring", "OPEN", "c201 03 08 903f", { bring: { port: 8080 } }),
  canonical("info", "OPEN", "9201 00", { info: {} }),
  canonical("hold", "OPEN", "9a01 00", { hold: {} }),
  canonical("hold, the sessions parting before", "OPEN", "9a01 02 08 01", { hold: { suspend: true } }),
  canonical("release", "OPEN", "ea01 00", { release: {} }),
  canonical("CONTROL with a signal", "CONTROL", "08 09", { signal: 9 }),
  canonical("CONTROL with a size", "CONTROL", "12 06 08 a001 10 8401", {
    resize: { cols: 160, rows: 132 },
  }),
  {
    name: "a request over three OPEN frames",
    direction: "host",
    layer: "frames",
    bytes: hex(
      frame("OPEN", 7, longOpen.slice(0, 20), 1),
      frame("OPEN", 7, longOpen.slice(20, 320), 1),
      frame("OPEN", 7, longOpen.slice(320)),
    ),
    frames: [
      { stream: 7, type: "OPEN", flags: 1, payload: longOpen.slice(0, 20) },
      { stream: 7, type: "OPEN", flags: 1, payload: longOpen.slice(20, 320) },
      {
        stream: 7,
        type: "OPEN",
        flags: 0,
        payload: longOpen.slice(320),
        message: { exec: { shell: "78".repeat(300) } },
      },
    ],
  },

  // answers
  canonical("OPENED of a process", "OPENED", "08 01 10 ac02", { process: 1, pid: 300 }),
  canonical(
    "OPENED of a connection that was waited for",
    "OPENED",
    bytes(6, hex(bytes(2, text("example.test")), number(4, 443))),
    { connection: { name: text("example.test"), port: 443 } },
  ),
  canonical("OPENED of nothing in particular", "OPENED", "", {}),
  canonical("OPENED of a file", "OPENED", hex("1a 0d", "0a 02 2f61", "10 01", "18 a403", "20 05", "28 01"), {
    file: { path: text("/a"), type: 1, mode: 420, size: 5, mtime_s: 1 },
  }),
  canonical("RESULT: exit code 0", "RESULT", "", {}),
  canonical("RESULT: exit code 7", "RESULT", "10 07", { exit_code: 7 }),
  canonical("RESULT: signal 9", "RESULT", "18 09", { signal: 9 }),
  canonical("RESULT: an error", "RESULT", "0a 0c 08 02 12 06 6e6f20 66696c 18 02", {
    error: { code: 2, message: "no fil", errno: 2 },
  }),
  canonical("RESULT: no inodes left, in memory", "RESULT", "0a 08 08 08 18 1c 20 01 28 01", {
    error: { code: 8, errno: 28, no_inodes: true, in_memory: true },
  }),
  canonical(
    "RESULT: a command for which there is no process left",
    "RESULT",
    bytes(
      1,
      hex(
        "08 0c 18 0b",
        bytes(6, hex(number(1, 3), bytes(3, text("sh")), "20 01", number(11, 690))),
        bytes(6, hex(number(1, 4), bytes(3, text("loop")), number(11, 7))),
      ),
    ),
    {
      error: {
        code: 12,
        errno: 11,
        holders: [
          { process: 3, argv: [text("sh")], running: true, processes: 690 },
          { process: 4, argv: [text("loop")], processes: 7 },
        ],
      },
    },
  ),
  canonical(
    "RESULT: a file that has changed, and what it is now",
    "RESULT",
    hex("0a 02 08 17", bytes(5, hex(bytes(1, text("/a")), number(2, 1), bytes(13, "01".repeat(32))))),
    { error: { code: 23 }, file: { path: text("/a"), type: 1, version: "01".repeat(32) } },
  ),
  canonical("RESULT of a connection that was reset", "RESULT", "0a 02 08 14", { error: { code: 20 } }),
  canonical("RESULT: an error of code 0 is an error all the same", "RESULT", "0a 00", { error: {} }),
  canonical("RESULT: an error from the future", "RESULT", "0a 03 08 e707", { error: { code: 999 } }),
  canonical("RESULT of an attach that lost output", "RESULT", hex("10 01", number(4, 2 ** 53 - 1)), {
    exit_code: 1,
    dropped: 9_007_199_254_740_991,
  }),
  canonical(
    "RESULT of a stat",
    "RESULT",
    hex(
      bytes(
        5,
        hex(
          bytes(1, text("/link")),
          number(2, 3),
          number(3, 0o777),
          number(4, 6),
          number(5, 1_700_000_000),
          number(6, 1),
          number(7, 4_294_967_295),
          number(8, 100),
          bytes(9, text("target")),
        ),
      ),
    ),
    {
      file: {
        path: text("/link"),
        type: 3,
        mode: 511,
        size: 6,
        mtime_s: 1_700_000_000,
        mtime_ns: 1,
        uid: 4_294_967_295,
        gid: 100,
        target: text("target"),
      },
    },
  ),
  canonical(
    "RESULT of a stat: a socket, its inode and when it was made",
    "RESULT",
    hex(
      bytes(
        5,
        hex(
          bytes(1, text("/s")),
          number(2, 7),
          number(3, 0o755),
          bytes(10, "010000000000f0ff"),
          number(11, 1_700_000_000),
          number(12, 999_999_999),
        ),
      ),
    ),
    {
      file: {
        path: text("/s"),
        type: 7,
        mode: 493,
        inode: "010000000000f0ff",
        btime_s: 1_700_000_000,
        btime_ns: 999_999_999,
      },
    },
  ),
  canonical("RESULT of a list of three levels", "RESULT", "48 05 60 03", { entries: 5, depth: 3 }),
  canonical("RESULT of a file_copy", "RESULT", "48 02 50 ac02 68 01", { entries: 2, bytes: 300, skipped: 1 }),
  canonical("RESULT of a detached exec", "RESULT", "30 03 38 64", { process: 3, pid: 100 }),
  canonical(
    "RESULT of info",
    "RESULT",
    hex(
      bytes(
        8,
        hex(
          bytes(1, text("0.1.0")),
          bytes(2, text("6.1.0")),
          bytes(3, text("id")),
          number(4, 1500),
          number(5, 512 * 1024 * 1024),
          number(6, 400 * 1024 * 1024),
          number(7, 2 ** 31),
          number(8, 2 ** 30),
          bytes(9, text("box")),
          number(10, 1_763_800_000),
          number(11, 7),
          number(12, 2),
          bytes(13, text("cpu")),
          bytes(13, text("pids")),
          bytes(14, hex(number(1, 2763), number(2, 384 * 1024 * 1024))),
          bytes(15, number(1, 2073)),
          number(16, 1),
          number(17, 3),
        ),
      ),
    ),
    {
      info: {
        agent: "0.1.0",
        kernel: "6.1.0",
        boot_id: "id",
        uptime_ms: 1500,
        mem_total_bytes: 536_870_912,
        mem_available_bytes: 419_430_400,
        disk_total_bytes: 2_147_483_648,
        disk_free_bytes: 1_073_741_824,
        hostname: "box",
        clock_s: 1_763_800_000,
        clock_ns: 7,
        processes: 2,
        controllers: ["cpu", "pids"],
        limits: { pids: 2763, memory_bytes: 402_653_184 },
        command_limits: { pids: 2073 },
        mounts: 1,
        init: 3,
      },
    },
  ),
  canonical("RESULT of a killed command of which nothing is left", "RESULT", "0a 02 08 0b 18 09 58 01", {
    error: { code: 11 },
    signal: 9,
    all_ended: true,
  }),
  canonical("RESULT of a tree", "RESULT", "48 03 50 8008", { entries: 3, bytes: 1024 }),
  canonical("GOODBYE", "GOODBYE", hex("0a 08", text("shutdown")), { reason: "shutdown" }),

  // what is understood though nobody writes it
  lenient("fields in another order", "OPEN", "f001 01 0a 03 12 01 78", { exec: { shell: "78" }, window: 1 }),
  lenient("of a field that comes twice the last one counts", "RESULT", "10 01 10 02", { exit_code: 2 }),
  lenient("sub-messages are not merged", "RESULT", "0a 02 08 02 0a 02 18 05", { error: { errno: 5 } }),
  lenient(
    "unknown fields of both kinds are skipped",
    "RESULT",
    hex("98 06 ffffffffffffffffff01", "a2 06 03 000102", "10 07"),
    {
      exit_code: 7,
    },
  ),
  lenient("an unknown field with the highest number", "RESULT", hex(number(2 ** 29 - 1, 1), "10 07"), {
    exit_code: 7,
  }),
  lenient("a padded varint", "RESULT", "10 8700", { exit_code: 7 }),
  lenient("a padded tag and length", "RESULT", "8a 00 82 00 08 02", { error: { code: 2 } }),
  lenient("zeros that could have been left out", "OPEN", "0a 07 12 01 78 38 00 40 00", {
    exec: { shell: "78" },
  }),
  lenient("a bool of 2 is true", "OPEN", "0a 05 12 01 78 38 02", { exec: { shell: "78", detached: true } }),

  // what is refused
  refused("a fixed32 field", "RESULT", "15 00000000", "wire type 5"),
  refused("a fixed64 field", "RESULT", "11 0000000000000000", "wire type 1"),
  refused("a group", "RESULT", "1b 1c", "wire type 3"),
  refused(
    "an unknown field of a forbidden kind",
    "OPEN",
    hex("1a 00", varintTag(100, 5), "00000000"),
    "wire type 5",
  ),
  refused("field number 0", "RESULT", "00 00", "field number 0"),
  refused("a field number above 2^29 - 1", "RESULT", "80 80 80 80 10 00", "field number"),
  refused("a message that ends in a tag", "RESULT", "90", "ends in a varint"),
  refused("a message that ends before its value", "RESULT", "10", "ends in a varint"),
  refused("a message that ends in its value", "RESULT", "10 80", "ends in a varint"),
  refused("a varint of 11 bytes", "RESULT", "20 8080808080808080808000", "varint too long"),
  refused("a varint above 2^64 - 1", "RESULT", "98 06 ffffffffffffffffff02", "varint too large"),
  refused("a uint32 above 2^32 - 1", "RESULT", "10 8080808010", "uint32 too large"),
  refused("a field that is longer than its message", "RESULT", "0a 05 08 02", "field too long"),
  refused("a field of 2^63 bytes", "RESULT", "0a ffffffffffffffff7f", "field too long"),
  refused("a number where bytes are due", "RESULT", "08 02", "wire type of a known field"),
  refused("bytes where a number is due", "RESULT", "12 01 07", "wire type of a known field"),
  refused("a broken sub-message", "RESULT", "0a 02 08 80", "ends in a varint"),
  refused("a broken sub-message in a request", "OPEN", "0a 02 12 05", "field too long"),
];

function varintTag(field: number, wireType: number): string {
  const tag = field * 8 + wireType;
  return hex((0x80 | (tag & 0x7f)).toString(16), (tag >> 7).toString(16).padStart(2, "0"));
}
