/**
 * The words before a command that may mount something which only it sees, and which is gone with it. Root needs no user
 * namespace for that (and gets none in a chroot).
 */
export const IN_MOUNT_NAMESPACE: readonly string[] =
  process.getuid?.() === 0 ? ["unshare", "--mount"] : ["unshare", "--user", "--map-root-user", "--mount"];
