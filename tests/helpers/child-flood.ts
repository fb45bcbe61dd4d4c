/**
 * Run as a process of its own: has commands of a sandbox print as much as they can, over one session, and stops itself as soon as it comes. What is on
 * its way then, more than any buffer between takes, waits for it.
 */
import { SmolVM } from "./smolvm.ts";

const COMMANDS = 12;

const vm = await SmolVM.get(process.argv[2]!);
for (let i = 0; i < COMMANDS; i++) {
  const stop = (): void => void process.kill(process.pid, "SIGSTOP");
  vm.run(`yes ${"x".repeat(400)}`, { onStdout: stop }).catch(() => {});
}
