import { connect } from "node:net";
import { setTimeout as after } from "node:timers/promises";

/** Between questions: QEMU answers in milliseconds, or not at all. */
const PAUSE_MS = 1_000;
/** Of the many registers, what tells where a processor is and which interrupts wait for it. */
const TELLING = /^CPU#|RIP=|^CR0=|LVTT|Timer|\b(?:ISR|IRR)\b/;

/** What the lab's processors do, in lines of QEMU's monitor; asked twice, as one that moves does not hang. Empty if nobody answers. */
export async function askProcessors(monitorPath: string, cpus: number): Promise<string[]> {
  const lapics = Array.from({ length: cpus }, (_, cpu) => `info lapic ${cpu}`);
  const questions = ["info registers -a", ...lapics];
  const socket = connect(monitorPath);
  let answer = "";
  socket.on("data", (data: Buffer) => {
    answer += data.toString("latin1");
  });
  socket.on("error", () => {}); // it is no more
  for (const question of [...questions, ...questions]) {
    socket.write(`${question}\n`);
    await after(PAUSE_MS);
  }
  socket.destroy();
  return answer.split(/\r?\n/).filter((line) => TELLING.test(line));
}
