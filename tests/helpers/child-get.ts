/** Run as a process of its own: gets or creates the sandbox of a key on a backend, and says its id. */
import { small } from "./backends.ts";
import { SmolVM } from "./smolvm.ts";

const [key, backend] = process.argv.slice(2);
const vm = await SmolVM.getOrCreate(key!, small(backend!));
process.stdout.write(vm.id);
