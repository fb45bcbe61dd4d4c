import { GuestErrorCode as Code } from "../../agent/wire/messages.ts";
import { SmolVMError } from "../../errors.ts";
import { escapeTerminal } from "../../util/escape-terminal.ts";

/** Longest sentence of the guest that is repeated in an error. */
const MAX_MESSAGE = 300;

/** What the server of a mount counts. */
export interface MountFigures {
  /** files and directories that the guest knows */
  readonly nodes: number;
  /** files and directories that it has open */
  readonly handles: number;
  readonly requests: number;
  /** changes of the host that it was told of */
  readonly events: number;
  /** false: not all of its directories are watched, so that changes of the host are seen within a second and no watcher hears of them */
  readonly watched: boolean;
  /** directories of the host that are watched */
  readonly watches: number;
  /** how often more changed than could be told one by one: all that was known was looked at again */
  readonly overflows: number;
  readonly readBytes: number;
  readonly writtenBytes: number;
}

/** One mount, as its server names what it counts. */
export interface ServedMount extends Partial<Omit<MountFigures, "readBytes" | "writtenBytes">> {
  readonly guest: string;
  readonly read_bytes?: number;
  readonly written_bytes?: number;
}

/** Its figures; without what it does not say: with strict coherence nothing is watched. Pure. */
export function figuresOf(served: ServedMount): MountFigures {
  const {
    nodes = 0,
    handles = 0,
    requests = 0,
    events = 0,
    watched = true,
    watches = 0,
    overflows = 0,
  } = served;
  const { read_bytes: readBytes = 0, written_bytes: writtenBytes = 0 } = served;
  return { nodes, handles, requests, events, watched, watches, overflows, readBytes, writtenBytes };
}

/** What the server says: one object in a line. */
export interface Answer {
  readonly error?: { readonly code: number; readonly message: string };
  readonly mounts?: readonly ServedMount[];
}

/** What an answer refuses, as an error; undefined: nothing. The words may be the guest's. Pure. */
export function refusal({ error }: Answer, guest: string): SmolVMError | undefined {
  if (error === undefined) return undefined;
  const said = escapeTerminal(String(error.message)).slice(0, MAX_MESSAGE);
  const details = { guest };
  switch (error.code) {
    case Code.NOT_FOUND:
      return new SmolVMError("MOUNT_NOT_FOUND", `no directory of the host is mounted at '${guest}'`, {
        details,
      });
    case Code.BUSY:
      return new SmolVMError("VM_BUSY", `something in the sandbox uses what is mounted at '${guest}'`, {
        hint: "End what has files open there, or works there; or take it away all the same: smolvm unmount --force NAME DIR",
        details,
      });
    case Code.EXISTS:
      return new SmolVMError("MOUNT_FAILED", `a directory of the host is mounted at '${guest}' already`, {
        hint: "Take it away first: smolvm unmount NAME DIR",
        details,
      });
    case Code.INVALID:
      return new SmolVMError("CONFIG_INVALID", `it cannot be mounted at '${guest}': ${said}`, {
        hint: "Choose another place in the sandbox, for example /work.",
        details,
      });
    case Code.NO_USER:
      return new SmolVMError("CONFIG_INVALID", `it cannot be mounted at '${guest}': ${said}`, {
        hint: "Give a user of the guest's /etc/passwd, or a number.",
        details,
      });
    case Code.UNSUPPORTED:
      return new SmolVMError("NOT_SUPPORTED", `the guest cannot mount directories of the host: ${said}`, {
        hint: "Use the fast kernel, which has FUSE built in: smolvm image kernel build; or an image with its kernel's modules.",
        details,
      });
    default:
      return new SmolVMError("MOUNT_FAILED", `it could not be mounted at '${guest}': ${said}`, { details });
  }
}
