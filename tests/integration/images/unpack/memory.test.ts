import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, expect, test } from "vitest";
import { readLayer } from "../../../../src/images/unpack/layer-stream.ts";
import { Deadline } from "../../../../src/util/deadline.ts";
import { layerTar } from "../../../helpers/layers.ts";

const MIB = 1024 * 1024;

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "smt-memory-"));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

test.each([
  ["packed with gzip", gzipSync],
  ["plain", (tar: Uint8Array) => tar],
])("of a layer that is read, %s, no more is in memory than a few pieces", async (_, pack) => {
  const path = join(directory, "layer");
  writeFileSync(path, pack(layerTar([{ path: "large", content: Buffer.alloc(96 * MIB, "content") }])));
  const before = process.memoryUsage().arrayBuffers;
  let most = 0;
  let bytes = 0;
  const deadline = Deadline.of("testing", { timeoutMs: 30_000 });
  for await (const step of readLayer({ path }, { image: "x", deadline, maxBytes: 200 * MIB })) {
    if (step.step !== "data") continue;
    bytes += step.data.length;
    most = Math.max(most, process.memoryUsage().arrayBuffers - before);
  }
  expect(bytes).toBe(96 * MIB);
  expect(most).toBeLessThan(6 * MIB);
});
