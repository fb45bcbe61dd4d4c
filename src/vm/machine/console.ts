import { closeSync, fstatSync, openSync, readSync } from "node:fs";

/** At most so much of a log is read to find its last lines. */
const TAIL_BYTES = 64 * 1024;

/** The end of a log kept by the monitor: `path`, and `path.1` before it. Empty if there is none. */
export function readLog(path: string, maxBytes: number = Number.POSITIVE_INFINITY): string {
  const current = readEnd(path, maxBytes);
  const rest = maxBytes - current.length;
  const older = rest > 0 ? readEnd(`${path}.1`, rest) : Buffer.alloc(0);
  return Buffer.concat([older, current]).toString("utf8");
}

/** The last lines of a log, without carriage returns and empty lines. */
export function tailOfLog(path: string, lines: number): string[] {
  return lastLines(readLog(path, TAIL_BYTES), lines);
}

/** The last non-empty lines of a text. Pure. */
export function lastLines(text: string, lines: number): string[] {
  return text
    .split("\n")
    .map((line) => line.replaceAll("\r", "").trimEnd())
    .filter((line) => line !== "")
    .slice(-lines);
}

function readEnd(path: string, maxBytes: number): Buffer {
  let descriptor: number;
  try {
    descriptor = openSync(path, "r");
  } catch {
    return Buffer.alloc(0); // not written yet
  }
  try {
    const { size } = fstatSync(descriptor);
    const length = Math.min(size, maxBytes);
    const buffer = Buffer.alloc(length);
    return buffer.subarray(0, readSync(descriptor, buffer, 0, length, size - length));
  } finally {
    closeSync(descriptor);
  }
}
