import { type ErrorCode, SmolVMError } from "../../errors.ts";
import { escapeTerminal } from "../../util/escape-terminal.ts";
import { GuestErrorCode as Code, type GuestError, type Process } from "../wire/messages.ts";
import { linuxErrno } from "./linux-errno.ts";

/** Longest sentence of the guest that is repeated in an error. */
const MAX_MESSAGE = 300;
/** Most commands that an error names. */
const MAX_HOLDERS = 3;

interface Meaning {
  readonly code: ErrorCode;
  /** how it reads after "… failed: " */
  readonly text: string;
  readonly hint?: string;
  readonly details?: Readonly<Record<string, unknown>>;
}

/** What an unknown code reads as, and whatever has none of its own: the guest's own words, in parentheses, say what it is. */
const UNKNOWN: Meaning = {
  code: "FILE_FAILED",
  text: "the guest's kernel refused it",
  hint: "Look at what is there in the sandbox: smolvm shell NAME",
};

const BROKEN_DISK: Meaning = {
  code: "FILE_FAILED",
  text: "an input or output error",
  hint: "See what is wrong with the sandbox's disk: smolvm info NAME, smolvm logs NAME",
};

/** Linux error numbers that a broken disk or file system has: EIO, EUCLEAN, EBADMSG; 0: the agent gave none. */
const DISK_ERRNOS: readonly number[] = [0, 5, 117, 74];

const COMMON: Record<number, Meaning> = {
  [Code.INVALID]: { code: "CONFIG_INVALID", text: "the guest found the request invalid" },
  [Code.NOT_FOUND]: { code: "FILE_NOT_FOUND", text: "no such file or directory in the guest" },
  [Code.EXISTS]: { code: "FILE_EXISTS", text: "it exists in the guest" },
  [Code.CHANGED]: { code: "FILE_CHANGED", text: "it has changed meanwhile" },
  [Code.NOT_DIRECTORY]: { code: "FILE_TYPE", text: "not a directory" },
  [Code.IS_DIRECTORY]: { code: "FILE_TYPE", text: "it is a directory" },
  [Code.NOT_EMPTY]: {
    code: "FILE_EXISTS",
    text: "the directory is not empty",
    hint: "Remove it with its content: files.remove(path, { recursive: true })",
  },
  [Code.PERMISSION]: { code: "FILE_PERMISSION", text: "permission denied in the guest" },
  [Code.UNSUPPORTED]: { code: "NOT_SUPPORTED", text: "the guest's agent does not support it" },
  [Code.CANCELLED]: { code: "ABORTED", text: "it was cancelled" },
  [Code.LIMIT]: {
    code: "VM_BUSY",
    text: "the guest has reached a limit: open requests, files or memory",
    hint: "Wait for some requests to finish, or give the sandbox more memory.",
  },
  [Code.NOT_EXECUTABLE]: { code: "COMMAND_NOT_EXECUTABLE", text: "it cannot be executed" },
  [Code.TOO_LONG]: {
    code: "ARGUMENTS_TOO_LONG",
    text: "the arguments and environment are longer than the guest's kernel accepts",
    hint: "Write the data to a file with files.write, or send it through stdin.",
  },
  [Code.REFUSED]: { code: "CONNECTION_REFUSED", text: "nothing listens there in the guest" },
  [Code.UNREACHABLE]: { code: "CONNECTION_REFUSED", text: "it cannot be reached from the guest" },
  [Code.NO_USER]: {
    code: "CONFIG_INVALID",
    text: "the guest has no such user or group",
    hint: "Give a name of the guest's /etc/passwd, or a number, which needs no entry there.",
  },
  [Code.BUSY]: { code: "VM_BUSY", text: "it is in use by another session" },
  [Code.STOPPING]: {
    code: "VM_STATE",
    text: "the sandbox is being stopped",
    details: { state: "stopping" },
  },
  [Code.RESET]: { code: "CONNECTION_RESET", text: "the server in the guest reset it" },
  [Code.CROSS_DEVICE]: {
    code: "FILE_CROSS_DEVICE",
    text: "the two are on different file systems of the guest",
    hint: 'Copy it and remove the old one, which is what mv does: vm.run(["mv", from, to])',
  },
};

/** What is full, as the guest says: the same error number stands for four things. */
function fullMeaning({ noInodes, inMemory }: GuestError): Meaning {
  const where = inMemory ? "the file system there, which is in the sandbox's memory," : "the sandbox's disk";
  const text = noInodes ? `${where} has no room for more files (its inodes are used up)` : `${where} is full`;
  const hint = inMemory
    ? "Remove files there, write to the disk (/tmp is on it), or create the sandbox with a larger memSizeMib."
    : "Remove files in the sandbox, or create it with a larger diskSizeMib.";
  return { code: "NO_SPACE", text, hint };
}

function meaningOf(error: GuestError, context: ErrorContext): Meaning {
  const special = SPECIAL[context]?.[error.code];
  if (special !== undefined) return special;
  if (error.code === Code.LIMIT && error.holders.length > 0) return noProcessMeaning(error.holders);
  if (error.code === Code.NO_SPACE) return fullMeaning(error);
  if (error.code === Code.IO && DISK_ERRNOS.includes(error.errno)) return BROKEN_DISK;
  return COMMON[error.code] ?? UNKNOWN;
}

const EXEC: Record<number, Meaning> = {
  [Code.NOT_FOUND]: {
    code: "COMMAND_NOT_FOUND",
    text: "the guest has no such program",
    hint: "Give its full path, install it in the image, or pass a string to run it through the guest's shell.",
  },
  [Code.BAD_CWD]: {
    code: "FILE_NOT_FOUND",
    text: "its working directory cannot be entered",
    hint: "Make it in the sandbox first, or give another cwd.",
  },
};

const PROCESS: Record<number, Meaning> = {
  [Code.NOT_FOUND]: {
    code: "PROCESS_NOT_FOUND",
    text: "the sandbox has no such process",
    hint: "See what runs: processes.list(), which is smolvm ps NAME",
  },
};

const KILL: Record<number, Meaning> = {
  ...PROCESS,
  [Code.BUSY]: {
    code: "VM_BUSY",
    text: "some of what it started has not ended yet",
    hint: "See whether it has meanwhile: processes.list(). What waits for a disk or a file system that hangs ends with the sandbox: vm.stop()",
  },
};

const HOLD: Record<number, Meaning> = {
  [Code.NOT_FOUND]: {
    code: "VM_STATE",
    text: "root of the guest has taken away what its processes are held by (/sys/fs/cgroup)",
    hint: "It is there again once it boots: smolvm restart NAME. Or keep the disk alone: smolvm snapshot create --disk-only NAME SNAPSHOT",
  },
  [Code.BUSY]: {
    code: "VM_BUSY",
    text: "some of what it runs cannot be made to stand still",
    hint: "What waits for a disk or a file system that hangs goes on waiting: see what it is with smolvm ps NAME, end it, and try again. Or keep the disk alone: smolvm snapshot create --disk-only NAME",
  },
};

const SPECIAL: Partial<Record<ErrorContext, Record<number, Meaning>>> = {
  exec: EXEC,
  process: PROCESS,
  kill: KILL,
  hold: HOLD,
};

/** Who has the processes of which a command got none, as far as the guest says it. */
function noProcessMeaning(holders: readonly Process[]): Meaning {
  const known = holders.slice(0, MAX_HOLDERS).map(({ process, processes, argv }) => ({
    id: process,
    processes,
    argv: argv.map((word) => escapeTerminal(Buffer.from(word).toString("utf8"), 60)),
  }));
  const named = known.map(
    ({ id, processes, argv }) => `${processes} of command ${id} ('${argv.join(" ").slice(0, 40)}')`,
  );
  return {
    code: "VM_BUSY",
    text: `there are as many processes in the sandbox as its commands may have together, among them ${named.join(", ")}`,
    hint: `End that command and all it started: processes.kill(${known[0]!.id}, "SIGKILL", { tree: true }), which is smolvm kill NAME ${known[0]!.id}. Or create the sandbox with more: limits: { pids }`,
    details: { holders: known },
  };
}

/** Which words and codes an error gets. */
export type ErrorContext = "exec" | "process" | "kill" | "hold" | "file" | "machine" | "forward";

/**
 * The SmolVMError for a request that the guest refused or failed. Pure. The guest's own words are escaped, cut, and kept apart.
 *
 * @param what the request in the user's words, e.g. "reading '/etc/x'"
 */
export function guestError(
  error: GuestError,
  context: ErrorContext,
  what: string,
  details: Record<string, unknown> = {},
): SmolVMError {
  const meaning = meaningOf(error, context);
  const said = escapeTerminal(error.message, MAX_MESSAGE);
  return new SmolVMError(meaning.code, `${what} failed: ${meaning.text}${said === "" ? "" : ` (${said})`}`, {
    hint: meaning.hint,
    details: {
      ...details,
      ...meaning.details,
      guestCode: error.code,
      errno: linuxErrno(error.errno),
      ...(context === "file" ? { side: "guest" } : {}),
      guestMessage: said,
    },
  });
}
