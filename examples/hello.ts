// The least: a sandbox, a command, its output. At the end of the scope the sandbox is deleted.
import { SmolVM } from "smolvm";

await using vm = await SmolVM.create({ network: "off" });

const { stdout, exitCode } = await vm.run("echo hello from $(uname -s), user $(id -un)");
console.log(stdout.trim(), exitCode);

// Output:
// hello from Linux, user root 0
