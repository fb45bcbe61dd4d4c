// Code that a model or a stranger wrote: no network, limits on time and output, as a user without rights.
import { isSmolVMError, SmolVM } from "smolvm";

const snippets = {
  fine: "print(sum(range(10)))",
  broken: "print(undefined_name)",
  endless: "while True: pass",
  noisy: "while True: print('spam' * 1000)",
};

await using vm = await SmolVM.create({ network: "off", memSizeMib: 512 });

for (const [name, code] of Object.entries(snippets)) {
  try {
    const { ok, stdout, stderr } = await vm.run(["python3", "-"], {
      stdin: code,
      user: "nobody",
      cwd: "/tmp",
      timeoutMs: 10_000,
      maxOutputBytes: 64 * 1024,
    });
    console.log(`${name}: ${ok ? stdout.trim() : stderr.trim().split("\n").at(-1)}`);
  } catch (error) {
    if (!isSmolVMError(error)) throw error;
    console.log(`${name}: ${error.code}`);
  }
}

// Output:
// fine: 45
// broken: NameError: name 'undefined_name' is not defined
// endless: RUN_TIMEOUT
// noisy: OUTPUT_LIMIT
