/** What of the host a VMM sees where it is enclosed. All else is not there for it: it has a root of its own. */
export interface HostView {
  /** the file that will say how it ended: it tells whose process this is (host/monitor/monitors.ts); not shown to it */
  readonly exit: string;
  /** what programs need: libraries and their data (system-files.ts) */
  readonly system: readonly SystemFile[];
  /** files that it reads; they are where they are on the host */
  readonly readOnly: readonly string[];
  /** files that it reads if they are there */
  readonly optional: readonly string[];
  /** directories and files that it writes */
  readonly writable: readonly string[];
  /** names in its root that lead to one of those */
  readonly links?: readonly { readonly path: string; readonly target: string }[] | undefined;
  readonly devices: readonly string[];
  /** groups to which its devices are open, where the VMM has a uid of its own */
  readonly groups?: readonly number[];
  /** it needs a /proc, in which it sees itself alone */
  readonly proc: boolean;
  /** variables that it gets besides PATH; of ours it gets no other */
  readonly env?: Readonly<Record<string, string>> | undefined;
  /** "none": it has no network card but lo */
  readonly network: "host" | "none";
}

/** A part of the system, read-only: a directory or file as it is, or a link as the host has it. */
export type SystemFile =
  | { readonly kind: "tree"; readonly path: string }
  | { readonly kind: "link"; readonly path: string; readonly target: string };
