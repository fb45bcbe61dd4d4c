import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { processPaths } from "../../../src/host/files/paths.ts";
import { placedQemu } from "../../../src/host/own-qemu/place.ts";
import { anyKernel } from "../../../src/images/store/kernel-store.ts";
import { ownQemu } from "../../helpers/own-qemu.ts";
import { seeded } from "../../helpers/random.ts";

const built = (await ownQemu())?.path;
const kernel = (await anyKernel(processPaths(), "x86_64"))?.path;
const ROUNDS = process.env.SMOLVM_TEST_LONG === undefined ? 300 : 5_000;
const dir = mkdtempSync(join(tmpdir(), "smq-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));
/** Where two hosts would have put it. */
const [own, elsewhere] = ["one", "other"].map(
  (host) => built && placedQemu({ cacheDir: join(dir, host) }, built),
);

interface Answer {
  readonly return?: Record<string, unknown>;
  readonly error?: { readonly class: string; readonly desc: string };
}

/** Our QEMU with the fast kernel, spoken to over its stdin and stdout. */
class Machine {
  readonly process: ChildProcess;
  readonly #waiting: ((answer: Answer) => void)[] = [];
  ended = false;

  constructor(more: readonly string[] = [], program = own!) {
    const arguments_ = [
      ...[
        "-nodefaults",
        "-no-user-config",
        "-display",
        "none",
        "-qmp",
        "stdio",
        "-m",
        "64M",
        "-cpu",
        "max,-erms,-fsrm",
      ],
      ...[
        "-machine",
        "microvm,acpi=off,rtc=on,x-option-roms=off",
        "-accel",
        "tcg,tb-size=128",
        "-kernel",
        kernel!,
      ],
      ...["-append", "acpi=off no_timer_check panic=-1", ...more],
    ];
    this.process = spawn(program, arguments_, { stdio: ["pipe", "pipe", "inherit"] });
    this.process.once("exit", () => {
      this.ended = true;
      for (const answer of this.#waiting) answer({ error: { class: "ended", desc: "it has ended" } });
    });
    let text = "";
    this.process.stdout!.on("data", (chunk: Buffer) => {
      const lines = (text + chunk.toString()).split("\n");
      text = lines.pop()!;
      for (const line of lines) {
        const message = JSON.parse(line) as Answer;
        if (message.return !== undefined || message.error !== undefined) this.#waiting.shift()?.(message);
      }
    });
    void this.ask("qmp_capabilities");
  }

  ask(execute: string, args?: Record<string, unknown>): Promise<Answer> {
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
      this.process.stdin!.write(`${JSON.stringify({ execute, arguments: args })}\n`);
    });
  }

  async end(): Promise<void> {
    this.process.kill("SIGKILL");
    await new Promise((resolve) => (this.ended ? resolve(undefined) : this.process.once("exit", resolve)));
  }
}

// The file's header: qemu/translations.c.inc, KeptHeader.
const HEADER = {
  checksum: 8,
  size: 16,
  base: 24,
  buffer: 32,
  used: 40,
  blocks: 48,
  slots: 56,
  pages: 64,
} as const;
const PAGE = 4096;
const MASK = (1n << 64n) - 1n;

function mix(hash: bigint, word: bigint): bigint {
  const x = hash ^ word;
  return ((((x << 29n) | (x >> 35n)) & MASK) * 0x9e3779b97f4a7c15n) & MASK;
}

function sumOf(part: Buffer): bigint {
  const lanes = [1n, 2n, 3n, 4n];
  const words = part.length >> 3;
  for (let n = 0; n < words; n++) {
    const lane = n < (words & ~3) ? n & 3 : 0;
    lanes[lane] = mix(lanes[lane]!, part.readBigUInt64LE(n * 8));
  }
  return mix(mix(mix(lanes[0]!, lanes[1]!), lanes[2]!), lanes[3]!);
}

/** The sum of the code is the slow part, and is not changed where the sum must be right. */
let sumOfCode: bigint;

/** Writes the checksum that a file of these parts has, so that what is behind it is looked at, too. */
function seal(file: Buffer): void {
  const field = (at: number): number => Number(file.readBigUInt64LE(at));
  const code = Math.ceil(field(HEADER.used) / PAGE) * PAGE;
  const sizes = [Math.ceil(field(HEADER.blocks) / 2) * 8, field(HEADER.slots) * 8, field(HEADER.pages) * 16];
  let at = PAGE + code;
  let sum = mix(sumOf(file.subarray(HEADER.size, PAGE)), sumOfCode);
  for (const size of sizes) {
    sum = mix(sum, sumOf(file.subarray(at, at + size)));
    at += size;
  }
  file.writeBigUInt64LE(sum, HEADER.checksum);
}

describe.skipIf(own === undefined || kernel === undefined)("the file of translated code", () => {
  const path = join(dir, "whole");
  let whole: Buffer;
  beforeAll(async () => {
    const machine = new Machine();
    await new Promise((resolve) => setTimeout(resolve, 1_500)); // it boots
    expect((await machine.ask("translations-flush")).error?.desc).toBe("the machine runs");
    await machine.ask("stop");
    const save = { filename: path, key: "key", max: 1 << 27 };
    expect((await machine.ask("translations-save", { ...save, max: 1000 })).error?.desc).toMatch(
      /^there are \d+ MiB/,
    );
    expect(await machine.ask("translations-save", save)).toEqual({ return: {} });
    expect((await machine.ask("translations-save", save)).error?.desc).toMatch(
      /cannot be written: File exists/,
    );
    await machine.end();
    whole = readFileSync(path);
    sumOfCode = sumOf(
      whole.subarray(PAGE, PAGE + Math.ceil(Number(whole.readBigUInt64LE(HEADER.used)) / PAGE) * PAGE),
    );
    const sealed = Buffer.from(whole);
    seal(sealed);
    expect(sealed.equals(whole), "the sum that is computed here is QEMU's").toBe(true);
  });

  test("is taken by a machine of its kind, and not by another, nor with another key", async () => {
    let program = own;
    const load = async (key: string, ...more: string[]): Promise<string | undefined> => {
      const machine = new Machine(["-S", ...more], program);
      const { error } = await machine.ask("translations-load", { filename: path, key });
      await machine.end();
      return error?.desc;
    };
    expect(await load("key")).toBeUndefined();
    expect(await load("other")).toBe("it belongs to another memory");
    expect(await load("key", "-m", "65M")).toBe("the machine is another");
    expect(await load("key", "-cpu", "max,-erms,-fsrm,-avx")).toBe("the machine is another");
    expect(await load("key", "-smp", "2")).toBe("the machine has several processors");
    for (program of [elsewhere, built]) expect(await load("key")).toBe("the program lies elsewhere");
  });

  test(`is refused when it is damaged, and the machine lives on (${ROUNDS} files)`, async () => {
    const machine = new Machine(["-S"]);
    const random = seeded(1);
    const until = (bound: number): number => Math.floor(random() * bound);
    const filename = join(dir, "damaged");
    const refusals = new Set<string>();
    for (let round = 0; round < ROUNDS; round++) {
      const file = Buffer.from(whole);
      let bytes = file;
      const kind = until(4);
      if (kind === 0) bytes = file.subarray(0, until(file.length));
      else if (kind === 1) for (let n = 0; n <= until(8); n++) file[until(file.length)]! ^= 1 + until(255);
      else if (kind === 2) for (let n = 0; n <= until(3); n++) file[until(160)]! ^= 1 + until(255);
      else bytes = Buffer.concat([file, Buffer.alloc(8 * (1 + until(1000)))]);
      writeFileSync(filename, bytes);
      const { error } = await machine.ask("translations-load", { filename, key: "key" });
      if (!bytes.equals(whole)) expect(error?.class, `round ${round}, kind ${kind}`).toBe("GenericError");
      refusals.add(error?.desc ?? "");
    }
    expect([...refusals].sort()).toEqual(
      expect.arrayContaining(["it is damaged", "it is none, or cut", "its sizes are wrong"]),
    );
    expect(machine.ended).toBe(false);
    // What was refused leaves nothing behind.
    expect(await machine.ask("translations-load", { filename: path, key: "key" })).toEqual({ return: {} });
    await machine.end();
  }, 600_000);

  test("with lists that make no sense is refused, also where its checksum is right", async () => {
    const machine = new Machine(["-S"]);
    const random = seeded(2);
    const until = (bound: number): number => Math.floor(random() * bound);
    const filename = join(dir, "forged");
    const field = (at: number): number => Number(whole.readBigUInt64LE(at));
    const lists = PAGE + Math.ceil(field(HEADER.used) / PAGE) * PAGE;
    const blocks = Math.ceil(field(HEADER.blocks) / 2) * 8;
    const table = field(HEADER.slots) * 8;
    const places: [string, number, RegExp][] = [
      ["a block outside of the buffer", lists + 4 * until(field(HEADER.blocks)), /its blocks are wrong/],
      [
        "a table's entry outside of it",
        lists + blocks + 8 * until(field(HEADER.slots)),
        /its table is wrong/,
      ],
      [
        "a page outside of memory",
        lists + blocks + table + 16 * until(field(HEADER.pages)),
        /its pages are wrong/,
      ],
      [
        "a list outside of the buffer",
        lists + blocks + table + 16 * until(field(HEADER.pages)) + 8,
        /its pages are wrong/,
      ],
    ];
    for (const [what, at, why] of places) {
      for (const value of [0xffff_fff0n, 0x7fff_fff0n, 0x10n, 0x7fff_ffff_ffff_fff1n, (1n << 64n) - 16n]) {
        if (what === "a page outside of memory" && value === 0x10n) continue; // that is one
        const file = Buffer.from(whole);
        if (what.startsWith("a block")) file.writeUInt32LE(Number(value & 0xffff_ffffn), at);
        else file.writeBigUInt64LE(value, at);
        seal(file);
        writeFileSync(filename, file);
        const { error } = await machine.ask("translations-load", { filename, key: "key" });
        expect(`${what} ${value.toString(16)}: ${error?.desc}`).toMatch(why);
      }
    }
    for (const at of [HEADER.base, HEADER.buffer]) {
      const file = Buffer.from(whole);
      file.writeBigUInt64LE(0x7000_0000n, at);
      seal(file);
      writeFileSync(filename, file);
      const { error } = await machine.ask("translations-load", { filename, key: "key" });
      expect(error?.desc).toBe("the buffer is another");
    }
    expect(machine.ended).toBe(false);
    await machine.end();
  });
});
