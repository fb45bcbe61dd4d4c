/** Run as a process of its own: runs one command in an existing sandbox and prints its output. */
import { SmolVM } from "./smolvm.ts";

const [name, command] = process.argv.slice(2);
const vm = await SmolVM.get(name!);
const { stdout } = await vm.run(command!);
process.stdout.write(stdout);
