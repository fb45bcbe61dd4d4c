/** Raised when the same layers become another file system. */
export const UNPACK_RECIPE = 1;
