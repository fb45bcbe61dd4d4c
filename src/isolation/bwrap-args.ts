import { WRAPPER_MARK } from "../host/monitor/wrapper-mark.ts";
import type { Bubblewrap } from "./enclosure.ts";
import type { HostView, SystemFile } from "./view.ts";

/** What is the same for all: https://manpages.debian.org/bookworm/bubblewrap/bwrap.1.en.html */
function namespaceArgs(bubblewrap: Bubblewrap, view: HostView): string[] {
  return [
    bubblewrap.path,
    ...(bubblewrap.userNamespace ? ["--unshare-user"] : []),
    ...["--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"],
    ...(view.network === "none" ? ["--unshare-net"] : []),
    // Its parent may die before it has asked for its own death: then it is found by this.
    ...["--die-with-parent", "--setenv", WRAPPER_MARK, view.exit],
  ];
}

/** Without a user namespace the last step inside changes the user, and gives up these as well. */
const CHANGE_USER = ["CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP", "CAP_CHOWN"].flatMap((capability) => [
  "--cap-add",
  capability,
]);

/**
 * Bubblewrap's command line before the program that it runs: namespaces of its own, a root in which there is what the view
 * says, nothing else, and an end with its parent. Pure.
 */
export function bwrapArgs(bubblewrap: Bubblewrap, view: HostView): string[] {
  return [
    ...namespaceArgs(bubblewrap, view),
    ...["--cap-drop", "ALL", ...(bubblewrap.userNamespace ? [] : CHANGE_USER)],
    // Before all that may lie there, as a home in /dev/shm does.
    ...["--dev", "/dev"],
    ...directories("", [
      ...view.system.map(({ path }) => path),
      ...[bubblewrap.monitor, ...view.readOnly, ...view.optional, ...view.writable],
    ]),
    ...view.system.flatMap(systemArgs),
    ...(view.proc ? ["--proc", "/proc"] : []),
    ...directories("", view.devices),
    ...view.devices.flatMap((path) => same("--dev-bind", path)),
    ...view.optional.flatMap((path) => same("--ro-bind-try", path)),
    ...[bubblewrap.monitor, ...view.readOnly].flatMap((path) => same("--ro-bind", path)),
    ...view.writable.flatMap((path) => same("--bind", path)),
    ...linkArgs("", view),
    // Of the root itself it can only read the names.
    ...["--remount-ro", "/", "--chdir", "/", "--"],
  ];
}

/**
 * The same for a program that changes its root itself (Firecracker's jailer): it sees the host, and what the view says is at
 * `root`, under the names that it will have there. The mounts are its own: nothing is left of them when it ends. Pure.
 */
export function chrootArgs(bubblewrap: Bubblewrap, view: HostView, root: string): string[] {
  const at = (option: string) => (path: string) => [option, path, `${root}${path}`];
  return [
    ...namespaceArgs(bubblewrap, view),
    ...["--dev-bind", "/", "/"],
    ...(view.proc ? ["--proc", `${root}/proc`] : []),
    ...directories(root, [...view.readOnly, ...view.writable]),
    ...view.readOnly.flatMap(at("--ro-bind")),
    ...view.writable.flatMap(at("--bind")),
    ...linkArgs(root, view),
    ...["--chdir", "/", "--"],
  ];
}

/** The directories of files: made by bubblewrap itself, they would be closed to others where the files are. */
function directories(root: string, paths: readonly string[]): string[] {
  const parents = new Set(paths.map((path) => path.slice(0, path.lastIndexOf("/"))).filter(Boolean));
  return [...parents].flatMap((path) => ["--dir", `${root}${path}`]);
}

function linkArgs(root: string, { links = [] }: HostView): string[] {
  return links.flatMap(({ path, target }) => ["--symlink", target, `${root}${path}`]);
}

function systemArgs(file: SystemFile): string[] {
  return file.kind === "link" ? ["--symlink", file.target, file.path] : same("--ro-bind", file.path);
}

/** Under the name that it has on the host, so that no argument of the VMM has to change. */
function same(option: string, path: string): string[] {
  return [option, path, path];
}
