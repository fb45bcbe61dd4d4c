import { processPaths } from "../../src/host/files/paths.ts";
import { readQemuRecipe } from "../../src/images/qemu-build/recipe.ts";
import { type BuiltQemu, listQemus } from "../../src/images/store/qemu-store.ts";

/**
 * Our QEMU of this checkout's recipe in the user's cache (`smolvm qemu build --no-use`), or undefined: tests of it are left out then.
 */
export async function ownQemu(): Promise<BuiltQemu | undefined> {
  const { key } = await readQemuRecipe("x86_64");
  return (await listQemus(processPaths())).find(({ manifest }) => manifest.recipe === key);
}
