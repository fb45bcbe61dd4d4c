import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { movedProgram } from "../../../src/host/own-qemu/moved-program.ts";

/** Says where it lies; has tables of addresses, data of threads, functions that the CPU chooses, and read-only relocations. */
const PROGRAM = `
#include <pthread.h>
#include <stdio.h>
#include <string.h>
static int one(void) { return 1; }
static int two(void) { return 2; }
static int (*const constant[])(void) = { one, two };
static int (*table[])(void) = { two, one };
static const char *words[] = { "a", "program" };
static __thread int own = 7;
static void *thread(void *sum) { *(int *)sum += own++ + constant[1]() + table[1](); return 0; }
int main(int argc, char **argv) {
  int sum = 0;
  pthread_t threads[2];
  for (int i = 0; i < 2; i++) pthread_create(&threads[i], 0, thread, &sum), pthread_join(threads[i], 0);
  printf("%s %d %zu %p\\n", words[1], sum, strlen(argv[1]), (void *)main);
}`;

let directory: string;
let movable: Buffer;
const build = (...flags: string[]): Buffer => {
  writeFileSync(join(directory, "program.c"), PROGRAM);
  const path = join(directory, "built");
  execFileSync("gcc", ["-O1", "-o", path, join(directory, "program.c"), "-pthread", ...flags]);
  return readFileSync(path);
};
const run = (program: Buffer): string => {
  const path = join(directory, `program-${programs++}`);
  writeFileSync(path, program, { mode: 0o755 });
  return execFileSync(path, ["12345"], { encoding: "utf8" });
};
let programs = 0;

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "smolvm-moved-"));
  movable = build("-static-pie");
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const SAYS = /^program 20 5 (0x[0-9a-f]+)\n$/;

test("a program that would lie anywhere lies where it was put, in every process, and does the same", () => {
  const anywhere = [1, 2, 3].map(() => SAYS.exec(run(movable))?.[1]);
  expect(new Set(anywhere).size).toBeGreaterThan(1);
  for (const base of [0x1000_0000, 0x2345_6000, 0x4fff_f000]) {
    const moved = movedProgram(movable, base)!;
    const at = Number(SAYS.exec(run(moved))?.[1]);
    expect(at).toBeGreaterThan(base);
    expect(at).toBeLessThan(base + movable.length);
    expect(Number(SAYS.exec(run(moved))?.[1])).toBe(at);
  }
});

test("its start-up code finds next to nothing left to write", () => {
  const writes = (program: Buffer): number => {
    const path = join(directory, "counted");
    writeFileSync(path, program, { mode: 0o755 });
    const listed = execFileSync("readelf", ["-W", "-d", path], { encoding: "utf8" });
    return Number(/\(RELASZ\)\s+(\d+)/.exec(listed)?.[1]) / 24;
  };
  const moved = movedProgram(movable, 0x1000_0000)!;
  expect(writes(movable)).toBeGreaterThan(500);
  expect(writes(moved)).toBeLessThan(100);
});

test("one that lies at a fixed address, that needs a loader, that is cut or none is not taken", () => {
  expect(movedProgram(build("-static", "-no-pie"), 0x1000_0000)).toBeUndefined();
  expect(movedProgram(build("-pie"), 0x1000_0000)).toBeUndefined();
  expect(movedProgram(movable.subarray(0, 1000), 0x1000_0000)).toBeUndefined();
  expect(movedProgram(Buffer.from("#!/bin/sh\n"), 0x1000_0000)).toBeUndefined();
  expect(movedProgram(Buffer.alloc(0), 0x1000_0000)).toBeUndefined();
});
