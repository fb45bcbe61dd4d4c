import type { Bubblewrap } from "./enclosure.ts";
import type { BubblewrapFound, IsolationFacts } from "./tier.ts";

/** Where a directory that is being shared is in the root of the process that hands it on. */
export const SHARED_AT = "/share";

/** The bubblewrap that encloses file servers: root's without a user namespace, in which it would see neither its VMMs' sockets nor whose files are whose. Pure. */
export function fileServerBubblewrap({
  user,
  ownUid,
}: Pick<IsolationFacts, "user" | "ownUid">): BubblewrapFound {
  return "bubblewrap" in ownUid ? ownUid : user;
}

/** What such a process sees: itself, and these. */
export interface FileServerView {
  readonly program: string;
  /** sockets that it connects to, and what it reads */
  readonly readOnly: readonly string[];
  /** directories that it writes in */
  readonly writable: readonly string[];
  /** a directory of the host, at {@link SHARED_AT} */
  readonly shared?: { readonly path: string; readonly readOnly: boolean } | undefined;
}

/**
 * Bubblewrap's command line before a file server, or before the process that opens a directory for one: a root in which nothing else is, no network, no
 * capability. It does not die with its parent, as a sandbox outlives the command that mounts something in it: it ends with the sandbox's channel. Pure.
 */
export function fileServerArgs({ path, userNamespace }: Bubblewrap, view: FileServerView): string[] {
  const parents = [view.program, ...view.readOnly, ...view.writable].map((file) =>
    file.slice(0, file.lastIndexOf("/")),
  );
  const same = (option: string) => (file: string) => [option, file, file];
  const { shared } = view;
  return [
    path,
    ...(userNamespace ? ["--unshare-user"] : []),
    ...["--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-net", "--unshare-cgroup-try"],
    ...["--cap-drop", "ALL", "--clearenv"],
    ...[...new Set(parents)].filter(Boolean).flatMap((dir) => ["--dir", dir]),
    ...[view.program, ...view.readOnly].flatMap(same("--ro-bind")),
    ...view.writable.flatMap(same("--bind")),
    ...(shared === undefined ? [] : [shared.readOnly ? "--ro-bind" : "--bind", shared.path, SHARED_AT]),
    ...["--remount-ro", "/", "--chdir", "/", "--"],
  ];
}
