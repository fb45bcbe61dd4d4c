import type { Enclosure } from "./enclosure.ts";
import type { HostView, SystemFile } from "./view.ts";

/**
 * Bubblewrap's command line before the program that it runs (https://manpages.debian.org/bookworm/bubblewrap/bwrap.1.en.html):
 * namespaces of its own, a root in which there is what the view says, nothing else, and an end with its parent. Pure.
 */
export function bwrapArgs(bubblewrap: NonNullable<Enclosure["bubblewrap"]>, view: HostView): string[] {
  return [
    bubblewrap.path,
    ...(bubblewrap.userNamespace ? ["--unshare-user"] : []),
    ...["--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"],
    ...(view.network === "none" ? ["--unshare-net"] : []),
    ...["--die-with-parent", "--cap-drop", "ALL"],
    ...view.system.flatMap(systemArgs),
    ...["--dev", "/dev"],
    ...(view.proc ? ["--proc", "/proc"] : []),
    ...view.devices.flatMap((path) => same("--dev-bind", path)),
    ...view.optional.flatMap((path) => same("--ro-bind-try", path)),
    ...[bubblewrap.monitor, ...view.readOnly].flatMap((path) => same("--ro-bind", path)),
    ...view.writable.flatMap((path) => same("--bind", path)),
    // Of the root itself it can only read the names.
    ...["--remount-ro", "/", "--chdir", "/", "--"],
  ];
}

function systemArgs(file: SystemFile): string[] {
  return file.kind === "link" ? ["--symlink", file.target, file.path] : same("--ro-bind", file.path);
}

/** Under the name that it has on the host, so that no argument of the VMM has to change. */
function same(option: string, path: string): string[] {
  return [option, path, path];
}
