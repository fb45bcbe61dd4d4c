/** Unpacks one layer into a file system, as a process of its own: prints {ms, maxRssMib}. Arguments: LAYER TARGET. */
import { unpackImage } from "../src/images/unpack/unpack-image.ts";
import { Deadline } from "../src/util/deadline.ts";

const [layer, target] = process.argv.slice(2) as [string, string];
const start = performance.now();
await unpackImage(target, [{ path: layer }], {
  image: "bench",
  identity: "bench",
  directories: [],
  deadline: Deadline.of("unpacking"),
});
console.log(
  JSON.stringify({ ms: performance.now() - start, maxRssMib: process.resourceUsage().maxRSS / 1024 }),
);
