/** In memory: what a step sees and no layer holds. */
export const IN_MEMORY = "/run/smolvm-build";
/** On the disk, and left out of every layer (vm/commit/changes.ts). */
export const ON_DISK = "/.smolvm-build";
