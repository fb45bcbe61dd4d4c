import { SmolVMError } from "../../errors.ts";

/**
 * The outside of Debian's packages: an ar archive (https://man.debian.org/deb.5, ar(5)) of debian-binary, control.tar* and
 * data.tar*, in this order. Pure.
 */
const MAGIC = Buffer.from("!<arch>\n");
const HEADER_BYTES = 60;

/**
 * The start of a package that holds the same as another one, but with its files not compressed: everything up to the data,
 * which must follow (and a newline, if its size is odd). Where unpacking is emulated, compression costs more than it saves.
 * @param deb the start of the package, at least to the end of its control files
 * @param dataBytes size of data.tar
 * @throws SmolVMError IMAGE_INVALID
 */
export function uncompressedDebHead(deb: Uint8Array, dataBytes: number): Uint8Array {
  if (!MAGIC.equals(deb.subarray(0, MAGIC.length))) throw damaged("it is no ar archive");
  let at = MAGIC.length;
  for (const wanted of ["debian-binary", "control.tar"]) {
    const header = Buffer.from(deb.subarray(at, at + HEADER_BYTES)).toString("latin1");
    const size = Number(header.slice(48, 58).trim());
    if (!header.startsWith(wanted) || !header.endsWith("`\n") || !Number.isSafeInteger(size))
      throw damaged(`its ${wanted} is not where it should be`);
    at += HEADER_BYTES + size + (size % 2);
    if (at > deb.length) throw damaged(`its ${wanted} is cut off`);
  }
  return Buffer.concat([deb.subarray(0, at), arHeader("data.tar", dataBytes)]);
}

function arHeader(name: string, size: number): Uint8Array {
  const fields = [name.padEnd(16), "0".padEnd(12), "0".padEnd(6), "0".padEnd(6), "100644".padEnd(8)];
  return Buffer.from(`${fields.join("")}${String(size).padEnd(10)}\`\n`);
}

function damaged(what: string): SmolVMError {
  return new SmolVMError("IMAGE_INVALID", `a Debian package is damaged: ${what}`);
}
