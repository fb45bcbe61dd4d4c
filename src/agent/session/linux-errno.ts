/**
 * Linux's error numbers by name (asm-generic/errno.h, the same on x86-64 and ARM64). Not this machine's: the guest is Linux wherever
 * this runs, and macOS counts otherwise.
 */
const NAMES: readonly string[] = [
  ..." EPERM ENOENT ESRCH EINTR EIO ENXIO E2BIG ENOEXEC EBADF ECHILD EAGAIN ENOMEM EACCES EFAULT ENOTBLK EBUSY".split(
    " ",
  ),
  ..."EEXIST EXDEV ENODEV ENOTDIR EISDIR EINVAL ENFILE EMFILE ENOTTY ETXTBSY EFBIG ENOSPC ESPIPE EROFS EMLINK".split(
    " ",
  ),
  ..."EPIPE EDOM ERANGE EDEADLK ENAMETOOLONG ENOLCK ENOSYS ENOTEMPTY ELOOP".split(" "),
];
const HIGHER: Readonly<Record<number, string>> = {
  61: "ENODATA",
  71: "EPROTO",
  74: "EBADMSG",
  75: "EOVERFLOW",
  95: "EOPNOTSUPP",
  97: "EAFNOSUPPORT",
  98: "EADDRINUSE",
  99: "EADDRNOTAVAIL",
  100: "ENETDOWN",
  101: "ENETUNREACH",
  104: "ECONNRESET",
  107: "ENOTCONN",
  110: "ETIMEDOUT",
  111: "ECONNREFUSED",
  113: "EHOSTUNREACH",
  116: "ESTALE",
  117: "EUCLEAN",
  121: "EREMOTEIO",
  122: "EDQUOT",
  125: "ECANCELED",
};

/** The name of a guest's error number; undefined for 0, "E" and the number for one without a name here. Pure. */
export function linuxErrno(number: number): string | undefined {
  if (number === 0) return undefined;
  return NAMES[number] ?? HIGHER[number] ?? `E${number}`;
}
