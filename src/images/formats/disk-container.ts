/** A format of disk images that is more than the disk's bytes, and how to get at those. */
export interface DiskContainer {
  readonly at: number;
  readonly magic: readonly number[];
  readonly name: string;
  /** IMAGE stands for the file */
  readonly hint: string;
}

const ascii = (text: string): number[] => [...text].map((char) => char.charCodeAt(0));
const CONVERT = "Convert it: qemu-img convert -O raw IMAGE disk.img";

/**
 * By their magic numbers (QEMU's docs/interop, and each format's specification). None of them is ever opened as what it
 * is: a qcow2 file may name any other file of the host as its backing file.
 */
export const DISK_CONTAINERS: readonly DiskContainer[] = [
  { at: 0, magic: [0x51, 0x46, 0x49, 0xfb], name: "a qcow2 image", hint: CONVERT },
  { at: 0, magic: ascii("QED\0"), name: "a QED image", hint: CONVERT },
  { at: 0, magic: ascii("KDMV"), name: "a VMDK image", hint: CONVERT },
  { at: 0, magic: ascii("# Disk DescriptorFile"), name: "a VMDK image's descriptor", hint: CONVERT },
  { at: 0, magic: ascii("vhdxfile"), name: "a VHDX image", hint: CONVERT },
  { at: 0, magic: ascii("conectix"), name: "a VHD image", hint: CONVERT },
  { at: 64, magic: [0x7f, 0x10, 0xda, 0xbe], name: "a VDI image", hint: CONVERT },
  {
    at: 0,
    magic: [0x3a, 0xff, 0x26, 0xed],
    name: "an Android sparse image",
    hint: "Unpack it: simg2img IMAGE disk.img",
  },
];

/** The container format that a file's first 512 bytes show, if any. Pure. */
export function diskContainer(head: Uint8Array): DiskContainer | undefined {
  return DISK_CONTAINERS.find(({ at, magic }) => magic.every((byte, i) => head[at + i] === byte));
}
