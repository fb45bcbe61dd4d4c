import {
  appendFileSync,
  mkdtempSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { followLog } from "../../../../src/host/logs/follow-log.ts";
import { RotatedLog } from "../../../../src/host/logs/rotated-log.ts";
import { Deadline } from "../../../../src/util/deadline.ts";

let directory: string;
let path: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "smolvm-follow-"));
  path = join(directory, "console.log");
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

/** As the monitor does it. */
function rotate(): void {
  written += statSync(path).size;
  renameSync(path, `${path}.1`);
  writeFileSync(path, "");
  writeFileSync(`${path}.at`, `${written} ${statSync(path, { bigint: true }).ino}\n`);
}
let written = 0;
beforeEach(() => {
  written = 0;
});

describe("a rotated log", () => {
  let log: RotatedLog;
  beforeEach(() => {
    log = new RotatedLog(path);
  });
  afterEach(() => log.close());
  const news = (): string =>
    Array.from(log.read(), (chunk) =>
      chunk instanceof Uint8Array ? Buffer.from(chunk).toString() : `<${chunk.missedBytes}>`,
    ).join("");

  test("gives what is kept, oldest first, then only what is new", () => {
    writeFileSync(`${path}.1`, "one ");
    writeFileSync(path, "two");
    expect(news()).toBe("one two");
    expect(news()).toBe("");
    appendFileSync(path, " three");
    expect(news()).toBe(" three");
  });

  test("loses nothing when it is rotated between two reads, even twice", () => {
    expect(news()).toBe("");
    writeFileSync(path, "a");
    expect(news()).toBe("a");
    appendFileSync(path, "b");
    rotate();
    appendFileSync(path, "c");
    expect(news()).toBe("bc");
    appendFileSync(path, "d");
    rotate();
    appendFileSync(path, "e");
    rotate();
    appendFileSync(path, "f");
    expect(news()).toBe("def");
  });

  test("tells how much is gone when it is rotated more often than that", () => {
    writeFileSync(path, "a");
    expect(news()).toBe("a");
    for (const piece of ["b", "cc", "ddd", "eeee", "f"]) {
      appendFileSync(path, piece);
      if (piece !== "f") rotate();
    }
    expect(news()).toBe("b<5>eeeef"); // two and three bytes
    appendFileSync(path, "g");
    expect(news()).toBe("g");
  });

  test("tells nothing of what was gone before it began, nor where the note is unknown", () => {
    writeFileSync(path, "a");
    for (const piece of ["b", "c", "d"]) {
      rotate();
      appendFileSync(path, piece);
    }
    expect(news()).toBe("cd");
    for (const piece of ["e", "f", "g"]) {
      rotate();
      appendFileSync(path, piece);
    }
    writeFileSync(`${path}.at`, "half a n");
    expect(news()).toBe("fg"); // "e" is gone, and nobody can tell
  });

  test("waits for the new file in the middle of a rotation", () => {
    writeFileSync(path, "a");
    expect(news()).toBe("a");
    appendFileSync(path, "b");
    renameSync(path, `${path}.1`);
    expect(news()).toBe("b");
    writeFileSync(path, "c");
    expect(news()).toBe("c");
  });

  test("begins again where the file did", () => {
    writeFileSync(path, "abc");
    expect(news()).toBe("abc");
    truncateSync(path);
    appendFileSync(path, "d");
    expect(news()).toBe("d");
  });

  test("reads to the end what was removed meanwhile", () => {
    writeFileSync(path, "a");
    expect(news()).toBe("a");
    appendFileSync(path, "b");
    rmSync(directory, { recursive: true });
    expect(news()).toBe("b");
  });
});

describe("following", () => {
  const deadline = Deadline.of("following", { timeoutMs: 30_000 });

  test("prints the last lines, then what comes, and ends when it is over", async () => {
    writeFileSync(path, "one\ntwo\nthree\n");
    let over = false;
    const pieces = followLog(path, { deadline, tailLines: 2, isOver: async () => over });
    expect((await pieces.next()).value).toBe("two\nthree\n");
    const next = pieces.next();
    appendFileSync(path, "four\n");
    rotate();
    appendFileSync(path, "five\n");
    let text = (await next).value as string;
    over = true;
    for await (const piece of pieces) text += piece;
    expect(text).toBe("four\nfive\n");
  });

  test("of what is over already prints it and ends, characters that were cut in two included", async () => {
    writeFileSync(`${path}.1`, Buffer.from("grün").subarray(0, 3));
    writeFileSync(path, Buffer.from("grün").subarray(3));
    let text = "";
    for await (const piece of followLog(path, { deadline, isOver: async () => true })) text += piece;
    expect(text).toBe("grün");
  });

  test("stops with an error when the caller aborts", async () => {
    const caller = new AbortController();
    const pieces = followLog(path, {
      deadline: Deadline.of("following", { signal: caller.signal }),
      isOver: async () => false,
    });
    const next = pieces.next();
    caller.abort();
    await expect(next).rejects.toMatchObject({ code: "ABORTED", message: "following was aborted" });
  });
});
