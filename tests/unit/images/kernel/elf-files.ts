/** Small ELF files for tests: what a linker would make of one note or one section. */

const HEADER_BYTES = 64;

function elfHeader(fields: {
  machine: number;
  programs?: number;
  sections?: { offset: number; count: number; names: number };
}): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  header.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  header.writeUInt16LE(2, 16); // executable
  header.writeUInt16LE(fields.machine, 18);
  header.writeBigUInt64LE(BigInt(HEADER_BYTES), 32); // program headers follow
  header.writeUInt16LE(fields.programs ?? 0, 56);
  if (fields.sections) {
    header.writeBigUInt64LE(BigInt(fields.sections.offset), 40);
    header.writeUInt16LE(fields.sections.count, 60);
    header.writeUInt16LE(fields.sections.names, 62);
  }
  return header;
}

/** A vmlinux with one note: Xen's PVH entry (type 18) unless said otherwise. */
export function vmlinux(
  options: { machine?: number; owner?: string; type?: number; filler?: number } = {},
): Buffer {
  const owner = Buffer.from(`${options.owner ?? "Xen"}\0`);
  const note = Buffer.alloc(12 + 4 * Math.ceil(owner.length / 4) + 4);
  note.writeUInt32LE(owner.length, 0);
  note.writeUInt32LE(4, 4);
  note.writeUInt32LE(options.type ?? 18, 8);
  owner.copy(note, 12);
  const program = Buffer.alloc(56);
  program.writeUInt32LE(4, 0); // PT_NOTE
  program.writeBigUInt64LE(BigInt(HEADER_BYTES + 56), 8);
  program.writeBigUInt64LE(BigInt(note.length), 32);
  return Buffer.concat([
    elfHeader({ machine: options.machine ?? 62, programs: 1 }),
    program,
    note,
    Buffer.alloc(options.filler ?? 2000, 0x90),
  ]);
}

/** A kernel module with a .modinfo section of these strings. */
export function kernelModule(modinfo: readonly string[]): Buffer {
  const info = Buffer.from(modinfo.map((text) => `${text}\0`).join(""));
  const names = Buffer.from("\0.modinfo\0.shstrtab\0");
  const infoAt = HEADER_BYTES;
  const namesAt = infoAt + info.length;
  const section = (name: number, offset: number, size: number): Buffer => {
    const bytes = Buffer.alloc(64);
    bytes.writeUInt32LE(name, 0);
    bytes.writeBigUInt64LE(BigInt(offset), 24);
    bytes.writeBigUInt64LE(BigInt(size), 32);
    return bytes;
  };
  const header = elfHeader({ machine: 62, sections: { offset: namesAt + names.length, count: 3, names: 2 } });
  return Buffer.concat([
    header,
    info,
    names,
    section(0, 0, 0),
    section(1, infoAt, info.length),
    section(10, namesAt, names.length),
  ]);
}
