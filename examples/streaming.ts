// Output as it comes, input while it runs, and a signal: a process as a stream of chunks.
import { SmolVM } from "smolvm";

await using vm = await SmolVM.create({ network: "off" });

const guest = vm.spawn(["sh", "-c", 'while read line; do echo "guest got: $line"; done; echo done >&2']);
guest.stdin.write("one\n");
for await (const { stream, data } of guest) {
  process.stdout.write(`${stream}: ${Buffer.from(data)}`);
  if (!guest.stdin.writableEnded) guest.stdin.end("two\n"); // it answered: one more, and the end of its input
}
console.log("exit code", (await guest).exitCode);

const sleeper = vm.spawn(["sleep", "1000"]);
await sleeper.kill("SIGTERM");
console.log("ended by", (await sleeper).signal);

// Output:
// stdout: guest got: one
// stdout: guest got: two
// stderr: done
// exit code 0
// ended by SIGTERM
