/** Run as a process of its own: creates a sandbox on a backend that dies with it (with these options, as JSON), says its name and VMM, and then waits to be killed. */

import { small } from "./backends.ts";
import { SmolVM } from "./smolvm.ts";

const vm = await SmolVM.create(small(process.argv[2] ?? "auto", JSON.parse(process.argv[3] ?? "{}")));
const { pid } = await vm.info();
process.stdout.write(`${vm.name} ${pid}\n`);
setInterval(() => {}, 1000);
