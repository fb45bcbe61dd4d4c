import { expect, test } from "vitest";
import { SmolVM } from "../../../src/index.ts";
import { small } from "../../helpers/backends.ts";
import { useTempHome } from "../../helpers/home.ts";

// Memory, where CI machines put what is to be fast. An enclosed VMM has a /dev of its own.
const before = process.env.TMPDIR;
process.env.TMPDIR = "/dev/shm";
const home = useTempHome();
if (before === undefined) delete process.env.TMPDIR;
else process.env.TMPDIR = before;

test("sandboxes start in a home below /dev", async () => {
  expect(home).toMatch(/^\/dev\/shm\//);
  await using vm = await SmolVM.create(small("qemu"));
  expect((await vm.run("echo hi")).stdout).toBe("hi\n");
});
