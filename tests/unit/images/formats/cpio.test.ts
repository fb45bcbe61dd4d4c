import { expect, test } from "vitest";
import { CPIO_DIRECTORY, CPIO_FILE, writeCpio } from "../../../../src/images/formats/cpio.ts";
import { initramfsEntries } from "../../../../src/images/kernel/initramfs.ts";

/** Reads a newc archive as the kernel does, for the tests. */
function readCpio(archive: Uint8Array): { path: string; mode: number; device: number[]; data: Buffer }[] {
  const bytes = Buffer.from(archive);
  const entries = [];
  for (let at = 0; ; ) {
    expect(bytes.toString("latin1", at, at + 6)).toBe("070701");
    const field = (n: number): number =>
      Number.parseInt(bytes.toString("latin1", at + 6 + n * 8, at + 14 + n * 8), 16);
    const nameEnd = at + 110 + field(11);
    const path = bytes.toString("utf8", at + 110, nameEnd - 1);
    const dataAt = Math.ceil(nameEnd / 4) * 4;
    const data = bytes.subarray(dataAt, dataAt + field(6));
    const entry = { path, mode: field(1), device: [field(9), field(10)], data };
    at = Math.ceil((dataAt + data.length) / 4) * 4;
    if (path === "TRAILER!!!") {
      expect(at).toBe(bytes.length);
      return entries;
    }
    entries.push(entry);
  }
}

test("an archive is read back as it was written, whatever the lengths of names and files", () => {
  const files = Array.from({ length: 9 }, (_, n) => ({
    path: "n".repeat(n + 1),
    mode: CPIO_FILE | 0o644,
    data: Buffer.alloc(n, n),
  }));
  const entries = readCpio(writeCpio([{ path: "d", mode: CPIO_DIRECTORY | 0o755 }, ...files]));
  expect(entries.map(({ path, data }) => [path, data.length])).toEqual([
    ["d", 0],
    ...files.map(({ path, data }) => [path, data.length]),
  ]);
  expect(entries[0]?.mode).toBe(0o040755);
  expect(entries[5]?.data).toEqual(Buffer.alloc(4, 4));
});

test("an initramfs holds the agent, a console and the modules in their order", () => {
  const agent = Buffer.from("agent");
  const entries = readCpio(
    writeCpio(
      initramfsEntries(agent, [
        { name: "virtio_ring", data: Buffer.from("1") },
        { name: "virtio", data: Buffer.from("22") },
      ]),
    ),
  );
  expect(entries.map(({ path, mode }) => [path, mode.toString(8)])).toEqual([
    ["dev", "40755"],
    ["dev/console", "20600"],
    ["init", "100755"],
    ["modules", "40755"],
    ["modules/order", "100644"],
    ["modules/virtio_ring.ko", "100644"],
    ["modules/virtio.ko", "100644"],
  ]);
  expect(entries[1]?.device).toEqual([5, 1]);
  expect(entries[2]?.data.equals(agent)).toBe(true);
  expect(entries[4]?.data.toString()).toBe("virtio_ring.ko\nvirtio.ko\n");
});

test("the same content makes the same bytes", () => {
  const make = (): Uint8Array =>
    writeCpio(initramfsEntries(Buffer.from("a"), [{ name: "m", data: Buffer.from("b") }]));
  expect(Buffer.from(make()).equals(make())).toBe(true);
});
