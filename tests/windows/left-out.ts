import type { LeftOut } from "../helpers/left-out.ts";

const SAVED =
  "saved memory is Linux's: a machine that is reached through a relay is refused (tests/windows/tests/refused.test.ts)";
const SHARED = "directories of the host are Linux's: they are refused (tests/windows/tests/refused.test.ts)";
const TOOLS = "its disks are made by e2fsprogs and squashfs-tools, which run on Linux";
const WINE_LINKS = "wine 8 makes no symbolic links";

/** What of the tests is not run by the Windows Node. What wine alone is the reason for begins with "wine": a real Windows should show it. */
export const LEFT_OUT: readonly LeftOut[] = [
  {
    file: "tests/windows/tests/names.test.ts",
    name: /far beyond 260 characters come here/,
    why: "wine 8 does not tell where a path of more than 260 characters leads (GetFinalPathNameByHandle), which a download asks first",
  },
  {
    file: "tests/contract/build.test.ts",
    name: /taken by skopeo and umoci/,
    why: "it is read by programs of Linux",
  },
  {
    file: "tests/contract/build.test.ts",
    name: /for another platform/,
    why: "the image that it begins with is built by Debian's tools, which run on Linux",
  },
  {
    file: "tests/contract/channel.test.ts",
    name: /host that does not read/,
    why: "Windows has no SIGSTOP to stop a host by, and copies go on from saved memory",
  },
  {
    file: "tests/contract/commands.test.ts",
    name: /of a guest that hangs/,
    why: "Windows has no SIGSTOP to let a VMM hang by",
  },
  {
    file: "tests/contract/drives.test.ts",
    name: /under whatever name|no raw disks/,
    why: `${WINE_LINKS}, and there is no /dev/null`,
  },
  { file: "tests/contract/drives.test.ts", name: /are mounted|without a file system|diskMode/, why: TOOLS },
  {
    file: "tests/contract/files.test.ts",
    name: /directories keep contents, modes, times and links/,
    why: `Windows' files have no mode, and ${WINE_LINKS}; tests/windows/tests/names.test.ts copies trees`,
  },
  { file: "tests/contract/full-disk.test.ts", why: "a small disk is mounted by what Linux has for it" },
  { file: "tests/contract/identity.test.ts", why: SAVED },
  {
    file: "tests/contract/life.test.ts",
    name: /is made longer and shorter/,
    why: "it looks for processes in /proc",
  },
  {
    file: "tests/contract/lifecycle.test.ts",
    name: /host whose disk is full/,
    why: "a small disk is mounted by what Linux has for it",
  },
  { file: "tests/contract/mounts.test.ts", why: SHARED },
  { file: "tests/contract/mounts-killed.test.ts", why: SHARED },
  { file: "tests/contract/pools.test.ts", why: SAVED },
  {
    file: "tests/contract/ports.test.ts",
    name: /by taps/,
    why: "taps are Linux's (tests/windows/tests/refused.test.ts)",
  },
  {
    file: "tests/contract/protocols.test.ts",
    name: /WebSocket/,
    why: "wine 8 knows no TCP_KEEPINTVL, so that Node's fetch and WebSocket connect to nothing: the test's own client fails",
  },
  {
    file: "tests/contract/pulled.test.ts",
    name: /ports forwarded/,
    why: "wine 8, as for WebSocket: the test asks by fetch",
  },
  {
    file: "tests/contract/pulled.test.ts",
    name: /systemd/,
    why: "the root file system is made by Debian's tools",
  },
  { file: "tests/contract/restricted-life.test.ts", name: /snapshots and forks/, why: SAVED },
  { file: "tests/contract/snapshot-files.test.ts", why: SAVED },
  { file: "tests/contract/snapshot-layers.test.ts", why: SAVED },
  { file: "tests/contract/snapshots.test.ts", why: SAVED },
  { file: "tests/contract/templates.test.ts", why: SAVED },
];
