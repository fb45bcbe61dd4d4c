/** The word of a wrapper's command line before the file that its monitor will write how its program ended: names the sandbox. */
export const WRAPPER_MARK = "SMOLVM_EXIT";
