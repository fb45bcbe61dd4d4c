/**
 * Where in Firecracker's memory that of a guest begins, if it went on from a file of `bytes` bytes, which it maps privately and as
 * one piece; undefined: it was booted, or has so much memory that there are two pieces.
 * @param maps the text of proc_pid_maps(5): "START-END PERMISSIONS OFFSET DEVICE INODE PATH", numbers in hex but for the inode
 */
export function privateMapping(maps: string, bytes: number): number | undefined {
  for (const line of maps.split("\n")) {
    const [, start, end, inode] = /^([\da-f]+)-([\da-f]+) rw-p 0+ \S+ (\d+)/.exec(line) ?? [];
    if (start === undefined || end === undefined || inode === "0") continue;
    const from = Number.parseInt(start, 16);
    if (Number.parseInt(end, 16) - from === bytes) return from;
  }
  return undefined;
}
