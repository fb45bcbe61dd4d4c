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
