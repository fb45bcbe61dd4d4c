/** Run as a process of its own: launches `sleep` under a monitor, prints the pids, and waits to be killed. */
import { launchProgram } from "../../src/host/monitor/launch.ts";
import { Deadline } from "../../src/util/deadline.ts";

const [monitor, dir, seconds] = process.argv.slice(2);
const launched = await launchProgram({
  argv: ["/bin/sleep", seconds!],
  console: `${dir}/console.log`,
  stderr: `${dir}/vmm.log`,
  exit: `${dir}/exit.json`,
  dieWithParent: true,
  deadline: Deadline.of("launching", { timeoutMs: 20_000 }),
  monitor: monitor as "native" | "node",
});
process.stdout.write(`${launched.program.pid} ${launched.monitor.pid}\n`);
setInterval(() => {}, 1000);
