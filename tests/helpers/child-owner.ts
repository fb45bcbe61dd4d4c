/** Run as a process of its own: creates a sandbox that dies with it, says its name and VMM, and then waits to be killed. */
import { SmolVM } from "../../src/index.ts";

const vm = await SmolVM.create({ network: "off", memSizeMib: 256 });
const { pid } = await vm.info();
process.stdout.write(`${vm.name} ${pid}\n`);
setInterval(() => {}, 1000);
