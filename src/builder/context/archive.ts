import { isSmolVMError } from "../../errors.ts";
import { PACKING_HEAD_BYTES, packingOf, readPacked } from "../../images/formats/packed.ts";
import { readHead } from "../../images/formats/read-head.ts";
import { BLOCK_BYTES, decodeHeader } from "../../util/tar/header.ts";
import type { Fail } from "../plan/errors.ts";
import type { AddedFile } from "./added-file.ts";

const COPIED_AS_IT_IS = "Make it again, or copy it as it is: ADD --unpack=false";
const USTAR_AT = 257;

/**
 * A file as an archive that is unpacked where it goes, whole and with the owners that it says.
 * @returns undefined: it is none
 * @throws SmolVMError DOCKERFILE_INVALID if it is packed and its beginning is damaged
 */
export async function archive(
  path: string,
  source: string,
  fail: Fail,
  of: Pick<AddedFile, "digest" | "close">,
): Promise<AddedFile | undefined> {
  const packing = packingOf(await readHead(path, PACKING_HEAD_BYTES));
  const head = await headOf(readPacked(path, packing)).catch((error: unknown) => {
    if (!isSmolVMError(error)) throw error;
    throw fail(`'${source}' cannot be unpacked: ${error.message}`, COPIED_AS_IT_IS);
  });
  if (!isTar(head)) return undefined;
  return {
    isOneFile: false,
    digest: async () => `archive ${await of.digest()}`,
    tar: () => readPacked(path, packing),
    close: of.close,
  };
}

/** What a header says, or would if it were not damaged. */
function isTar(head: Buffer): boolean {
  if (head.length < BLOCK_BYTES) return false;
  if (head.toString("latin1", USTAR_AT, USTAR_AT + 5) === "ustar") return true;
  try {
    return decodeHeader(head) !== undefined;
  } catch {
    return false;
  }
}

async function headOf(chunks: AsyncIterable<Buffer>): Promise<Buffer> {
  let head = Buffer.alloc(0);
  for await (const chunk of chunks) {
    head = Buffer.concat([head, chunk.subarray(0, BLOCK_BYTES)]);
    if (head.length >= BLOCK_BYTES) break;
  }
  return head.subarray(0, BLOCK_BYTES);
}
