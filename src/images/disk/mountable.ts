import { SmolVMError } from "../../errors.ts";
import { readHead } from "../formats/read-head.ts";
import { ROOTFS_HEAD_BYTES, type RootfsFormat, rootfsIn } from "../formats/rootfs-format.ts";

/**
 * The file system in a file that the guest is to mount.
 * @throws SmolVMError IMAGE_INVALID if it holds none that guests can mount
 */
export async function mountableFileSystem(
  path: string,
  { readOnly }: { readonly readOnly: boolean },
): Promise<RootfsFormat> {
  const details = { option: "extraDrives", path };
  const found = rootfsIn(await readHead(path, ROOTFS_HEAD_BYTES));
  if (found === undefined) {
    throw new SmolVMError(
      "IMAGE_INVALID",
      `extraDrives: '${path}' cannot be mounted: it holds neither an ext4, squashfs nor erofs file system`,
      {
        hint: `Make one, which takes away all that is in the file: mke2fs -t ext4 '${path}'. Or leave mountAt out, and mount it in the sandbox.`,
        details,
      },
    );
  }
  if (found.needsRecovery && readOnly) {
    throw new SmolVMError(
      "IMAGE_INVALID",
      `extraDrives: '${path}' cannot be mounted read-only: it was not unmounted, and its journal must be replayed first`,
      { hint: `Repair it: e2fsck -p '${path}'`, details },
    );
  }
  return found.format;
}
