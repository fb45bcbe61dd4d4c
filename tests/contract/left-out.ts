import type { LeftOut } from "../helpers/left-out.ts";

const PYTHON = "what it runs in the guest is a program for Python, which the image lacks";
const SOCKETS =
  "its client or server in the guest ends directions or resets, as a program for Python, which the image lacks";
const AS_MANY = "it takes threads, descriptors or memory by a program for Python, which the image lacks";

/**
 * What of the contract suite is not run on an image of SMOLVM_TEST_IMAGE, whose programs are busybox's (minimal, Alpine). What busybox only spells
 * otherwise than Debian is no reason: a test says it as both understand it.
 */
export const LEFT_OUT: readonly LeftOut[] = [
  { file: "tests/contract/bombs.test.ts", name: /however many|allowed everything/, why: AS_MANY },
  { file: "tests/contract/channel.test.ts", name: /open to the host only/, why: PYTHON },
  {
    file: "tests/contract/hostile.test.ts",
    name: /leave their session|all the memory|every (file descriptor|inotify instance|process id)/,
    why: AS_MANY,
  },
  { file: "tests/contract/hostile.test.ts", name: /an attack on PID 1/, why: PYTHON },
  {
    file: "tests/contract/mounts.test.ts",
    name: /POSIX promises|is the same for all|come with what changes them|watches such a file/,
    why: PYTHON,
  },
  {
    file: "tests/contract/mounts-rules.test.ts",
    name: /locks hold|attributes that|shared mapping|what a copy has open/,
    why: PYTHON,
  },
  { file: "tests/contract/ports.test.ts", name: /^ports on/, why: SOCKETS },
  { file: "tests/contract/protocols.test.ts", name: /that is restricted/, why: SOCKETS },
  { file: "tests/contract/restricted.test.ts", name: /passes ends on|on port 80/, why: SOCKETS },
  { file: "tests/contract/restricted-escapes.test.ts", why: PYTHON },
  { file: "tests/contract/restricted-life.test.ts", name: /no faster than its limit/, why: SOCKETS },
];
