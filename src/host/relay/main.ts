/**
 * The relay as a process of its own, beside a native monitor (Windows). Its stdin is QEMU's stdout and its stdout QEMU's stdin, so that QMP is
 * theirs alone. On stderr it says the port that QEMU is to connect to, in a line, and then all that the guest writes to its console.
 *
 *   relay FILE
 *
 * FILE will say where others reach it. It ends with QEMU, or is ended with its monitor (monitor/src/windows/run.rs).
 */
import { MachineConnections } from "./machine.ts";

const [note = ""] = process.argv.slice(2);
const machine = new MachineConnections();
process.stderr.write(`${await machine.listen()}\n`);
process.stdin.once("close", () => process.exit(0));
await machine.serve({ stdin: process.stdout, stdout: process.stdin }, note, (chunk) => {
  process.stderr.write(chunk);
});
