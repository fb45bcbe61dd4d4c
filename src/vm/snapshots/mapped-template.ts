import { readFileSync, statSync } from "node:fs";
import { templateMemory } from "../../snapshots/store.ts";
import type { VmRecord } from "../../store/vms.ts";
import type { Home } from "../home.ts";

const MIB = 2 ** 20;

/**
 * The file of a template that a running machine maps as its memory, so that others can, and need only what it has written since.
 * @param maxBytes what it may have written, and its VMM has besides, at most: with more a file of its memory that others share is the better way
 * @returns undefined: it maps none, or has written more, or that cannot be seen
 */
export function mappedTemplate(
  { paths }: Home,
  { vmm, spec: { machine } }: VmRecord,
  maxBytes: number,
): string | undefined {
  try {
    const { pid } = vmm!;
    if (anonymousBytes(readFileSync(`/proc/${pid}/status`, "latin1")) > maxBytes) return undefined;
    const mapping = mappingOf(readFileSync(`/proc/${pid}/maps`, "latin1"), machine.memSizeMib * MIB);
    const path = mapping && templateMemory(paths, mapping.inode);
    return path !== undefined && deviceOf(path) === mapping?.device ? path : undefined;
  } catch {
    return undefined;
  }
}

/** Memory that a process shares with no file, in bytes, by the text of proc_pid_status(5). Pure. */
export function anonymousBytes(status: string): number {
  const [, kib] = /^RssAnon:\s+(\d+) kB$/m.exec(status) ?? [];
  return kib === undefined ? Number.POSITIVE_INFINITY : Number(kib) * 1024;
}

/**
 * The file of so many bytes that is mapped privately, from its beginning and as one piece.
 * @param maps the text of proc_pid_maps(5): "START-END PERMISSIONS OFFSET DEVICE INODE PATH", numbers in hex but for the inode. Pure.
 */
export function mappingOf(
  maps: string,
  bytes: number,
): { readonly device: string; readonly inode: number } | undefined {
  for (const line of maps.split("\n")) {
    const [, start = "", end = "", device = "", inode = "0"] =
      /^([\da-f]+)-([\da-f]+) rw-p 0+ ([\da-f]+:[\da-f]+) (\d+)/.exec(line) ?? [];
    if (inode !== "0" && Number.parseInt(end, 16) - Number.parseInt(start, 16) === bytes)
      return { device, inode: Number(inode) };
  }
  return undefined;
}

/** A file's device as proc_pid_maps(5) writes it. On file systems where stat(2) says another (btrfs) nothing is found. */
function deviceOf(path: string): string {
  const { dev } = statSync(path);
  const major = Math.floor(dev / 2 ** 8) % 2 ** 12;
  const minor = (dev % 2 ** 8) + Math.floor(dev / 2 ** 20) * 2 ** 8;
  return [major, minor].map((number) => number.toString(16).padStart(2, "0")).join(":");
}
