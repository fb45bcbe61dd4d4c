// Code that a model or a stranger wrote: no network, limits on time and output, as a user without rights.
import { SmolVM } from "smolvm";

const snippets = {
  fine: "print(sum(range(10)))",
  broken: "print(undefined_name)",
  endless: "while True: pass",
  noisy: "while True: print('spam' * 1000)",
  chatty: "for n in range(100000): print('step', n)",
};

await using vm = await SmolVM.create({ network: "off", memSizeMib: 512 });

for (const [name, code] of Object.entries(snippets)) {
  const { ok, stdout, stderr, stoppedBy, truncated } = await vm.run(["python3", "-"], {
    stdin: code,
    user: "nobody",
    cwd: "/tmp",
    timeoutMs: 10_000,
    maxOutputBytes: 64 * 1024,
    overflow: name === "chatty" ? "keepLast" : "stop", // go on, and keep the end; or end it there
    ifStopped: "result", // else what a limit ends throws a RunError, with the same in its `result`
  });
  const last = (ok ? stdout : stderr).trim().split("\n").at(-1);
  console.log(`${name}: ${stoppedBy ?? last}${truncated ? " (there was more)" : ""}`);
}

// Output:
// fine: 45
// broken: NameError: name 'undefined_name' is not defined
// endless: timeout
// noisy: overflow (there was more)
// chatty: step 99999 (there was more)
