// A sandbox that outlives the program: made here, found again by its name, removed at the end.
import { SmolVM } from "smolvm";

const name = `example-${process.pid}`;
const first = await SmolVM.create({ name, lifetime: "detached", network: "off", labels: { example: "yes" } });
await first.run("echo remembered > /root/note");
await first.stop();

const again = await SmolVM.get(name); // in another program, on another day
await again.start();
console.log((await again.run("cat /root/note")).stdout.trim());

const found = await SmolVM.list({ labels: { example: "yes" } });
console.log(found.filter((vm) => vm.name === name).map((vm) => vm.state));
await again.delete({ force: true });

// Output:
// remembered
// [ 'running' ]
