// A directory goes in, a program works on it, a result comes out.
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SmolVM } from "smolvm";

const work = await mkdtemp(join(tmpdir(), "smolvm-example-"));
await writeFile(join(work, "numbers.txt"), "3\n1\n2\n");

try {
  await using vm = await SmolVM.create({ network: "off" });
  await vm.files.upload(work, "/work");
  await vm.run("sort -n numbers.txt > sorted.txt", { cwd: "/work", check: true });
  await vm.files.download("/work/sorted.txt", join(work, "sorted.txt"));
  console.log((await readFile(join(work, "sorted.txt"), "utf8")).trim().split("\n").join(" "));

  await vm.files.write("/etc/motd", "hello\n");
  console.log(await vm.files.exists("/etc/motd"), (await vm.files.readText("/etc/motd")).trim());
} finally {
  await rm(work, { recursive: true });
}

// Output:
// 1 2 3
// true hello
