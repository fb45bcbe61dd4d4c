import { SmolVM } from "./smolvm.ts";

/** What a sandbox boots from, or one that goes on from a snapshot. */
export interface BootFiles {
  /** how it is called in messages */
  readonly what: string;
  readonly imageDigest: string | undefined;
  readonly kernelPath: string;
  readonly initrdPath: string | undefined;
}

/** All that needs images and kernels of this user's: sandboxes, whatever state they are in, and snapshots. */
export async function usersOfImages(): Promise<BootFiles[]> {
  const sandboxes = (await SmolVM.list()).map((info) => ({ ...info, what: info.name }));
  const snapshots = (await SmolVM.snapshots.list()).map((info) => ({
    ...info,
    what: `snapshot ${info.name}`,
  }));
  const waiting = (await SmolVM.pools.list()).map(({ name }) => name);
  const pooled = (await Promise.all(waiting.map((pool) => SmolVM.list({ pool })))).flat();
  return [...sandboxes, ...snapshots, ...pooled.map((info) => ({ ...info, what: `pool ${info.pool}` }))];
}

/** What uses the image of a digest, as it is called in messages. */
export async function usersOfImage(digest: string): Promise<string[]> {
  return (await usersOfImages()).filter((user) => user.imageDigest === digest).map(({ what }) => what);
}

/** What is used of this user's cache: the digests of images, and the paths of kernels and initramfs archives. */
export async function imagesInUse(): Promise<{
  readonly digests: ReadonlySet<string>;
  readonly paths: ReadonlySet<string>;
}> {
  const users = await usersOfImages();
  return {
    digests: new Set(users.flatMap(({ imageDigest }) => imageDigest ?? [])),
    paths: new Set(users.flatMap(({ kernelPath, initrdPath }) => [kernelPath, initrdPath ?? []].flat())),
  };
}
