import { SmolVMError } from "../errors.ts";

// Linux's numbers on x86 and ARM (signal(7)); the host's own may differ (macOS).
const NAMES = [
  "",
  "SIGHUP",
  "SIGINT",
  "SIGQUIT",
  "SIGILL",
  "SIGTRAP",
  "SIGABRT",
  "SIGBUS",
  "SIGFPE",
  "SIGKILL",
  "SIGUSR1",
  "SIGSEGV",
  "SIGUSR2",
  "SIGPIPE",
  "SIGALRM",
  "SIGTERM",
  "SIGSTKFLT",
  "SIGCHLD",
  "SIGCONT",
  "SIGSTOP",
  "SIGTSTP",
  "SIGTTIN",
  "SIGTTOU",
  "SIGURG",
  "SIGXCPU",
  "SIGXFSZ",
  "SIGVTALRM",
  "SIGPROF",
  "SIGWINCH",
  "SIGIO",
  "SIGPWR",
  "SIGSYS",
];

/** Second names of some. */
const ALSO: Readonly<Record<string, string>> = { SIGIOT: "SIGABRT", SIGCLD: "SIGCHLD", SIGPOLL: "SIGIO" };
/** Highest signal number of Linux (SIGRTMAX). */
const MAX_SIGNAL = 64;
const FIRST_REAL_TIME = 34;

/** The name of a guest's signal: "SIGKILL", or "SIGRTMIN+n" for real-time ones. Any number from the guest gets one. */
export function signalName(number: number): string {
  const name = NAMES[number];
  if (name) return name;
  if (number >= FIRST_REAL_TIME && number <= MAX_SIGNAL) return `SIGRTMIN+${number - FIRST_REAL_TIME}`;
  return `SIG${number}`;
}

/**
 * The guest's number of a signal given by name ("SIGTERM", "TERM", "term", "SIGRTMIN+3") or number (1 to 64).
 *
 * @throws SmolVMError CONFIG_INVALID for anything else
 */
export function signalNumber(signal: string | number): number {
  const number = numberOf(signal);
  if (number !== undefined) return number;
  throw new SmolVMError("CONFIG_INVALID", `'${signal}' is not a signal`, {
    hint: "Use a name such as SIGTERM, SIGINT or SIGKILL, or a number from 1 to 64.",
  });
}

/** Whether {@link signalNumber} knows it. */
export function isSignal(signal: string): boolean {
  return numberOf(signal) !== undefined;
}

function numberOf(signal: string | number): number | undefined {
  if (typeof signal === "number")
    return Number.isInteger(signal) && signal >= 1 && signal <= MAX_SIGNAL ? signal : undefined;
  const upper = signal.toUpperCase();
  const name = upper.startsWith("SIG") ? upper : `SIG${upper}`;
  const number = NAMES.indexOf(ALSO[name] ?? name);
  if (number > 0) return number;
  const realTime = /^(?:SIG)?(RTMIN|RTMAX)(?:([+-])(\d{1,2}))?$/.exec(upper);
  const from = realTime?.[1] === "RTMIN" ? FIRST_REAL_TIME : MAX_SIGNAL;
  if (
    realTime !== null &&
    (realTime[2] === undefined || (realTime[2] === "+") === (realTime[1] === "RTMIN"))
  ) {
    const at = from + Number(`${realTime[2] ?? ""}${realTime[3] ?? 0}`);
    if (at >= FIRST_REAL_TIME && at <= MAX_SIGNAL) return at;
  }
  return /^\d{1,2}$/.test(signal) ? numberOf(Number(signal)) : undefined;
}
