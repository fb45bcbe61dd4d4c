import { readFileSync } from "node:fs";

/** A static Linux program that is all commands, for images of this machine's architecture: Debian's busybox-static, or the file SMOLVM_TEST_BUSYBOX. */
export const BUSYBOX: Buffer = readFileSync(process.env.SMOLVM_TEST_BUSYBOX || "/bin/busybox");
