// Output as it comes, input while it runs, and a signal: a process with its streams.
import { createInterface } from "node:readline";
import { SmolVM } from "smolvm";

await using vm = await SmolVM.create({ network: "off" });

// Both outputs in the order they came.
const guest = vm.spawn(["sh", "-c", 'while read line; do echo "guest got: $line"; done; echo done >&2']);
guest.stdin.write("one\n");
for await (const { stream, data } of guest) {
  process.stdout.write(`${stream}: ${Buffer.from(data)}`);
  if (!guest.stdin.writableEnded) guest.stdin.end("two\n"); // it answered: one more, and the end of its input
}
console.log("exit code", (await guest.wait()).exitCode);

// One of them, line by line.
const counter = vm.spawn("seq 3; echo not looked at >&2", { stderr: "ignore" });
for await (const line of createInterface({ input: counter.stdout })) console.log("line", line);

const sleeper = vm.spawn(["sleep", "1000"]);
console.log("killed", await sleeper.kill("SIGTERM"));
console.log("ended by", (await sleeper.wait()).signal);

// Output:
// stdout: guest got: one
// stdout: guest got: two
// stderr: done
// exit code 0
// line 1
// line 2
// line 3
// killed true
// ended by SIGTERM
