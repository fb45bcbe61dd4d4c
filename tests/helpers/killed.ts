/** How a process ended that killed itself at a failpoint: Windows has no signals, and says the code of TerminateProcess. */
export const KILLED: object =
  process.platform === "win32" ? { code: 1, signal: null } : { signal: "SIGKILL" };
