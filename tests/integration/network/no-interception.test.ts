import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { SmolVM, type VMConfig } from "../../../src/index.ts";
import { ARCH, BACKENDS, small } from "../../helpers/backends.ts";
import { useTempHome } from "../../helpers/home.ts";

useTempHome();

/** `mov $-38, %rax; ret`: the call is not there (ENOSYS). */
const NOT_THERE = Buffer.from("48c7c0daffffffc3", "hex");
const ENDBR64 = Buffer.from("f30f1efa", "hex");
/** The call by which a function can be traced, or what stands there instead: Linux looks after it when it boots. */
const TRACE_BYTES = 5;

/** Where an address of the kernel's lies in its ELF file, by its program headers. */
function offsetOf(elf: Buffer, address: bigint): number {
  const [at, size, count] = [Number(elf.readBigUInt64LE(32)), elf.readUInt16LE(54), elf.readUInt16LE(56)];
  for (let index = 0; index < count; index++) {
    const header = elf.subarray(at + index * size);
    const [offset, virtual, bytes] = [8, 16, 32].map((member) => header.readBigUInt64LE(member));
    if (header.readUInt32LE(0) === 1 && address >= virtual! && address < virtual! + bytes!)
      return Number(offset! + address - virtual!);
  }
  throw new Error(`nothing of the kernel's file is at ${address.toString(16)}`);
}

test.runIf(ARCH === "x86_64").each(BACKENDS)(
  "a kernel of one's own that cannot intercept is refused with the reason by a restricted network, and serves without one, on %s",
  async (backend) => {
    const directory = mkdtempSync(join(tmpdir(), "smn-"));
    try {
      const options: VMConfig = { ...small(backend, { bootArgs: "nokaslr", template: "off" }) };
      delete options.kernel;
      const plain = await SmolVM.create({ ...options, kernel: "debian" }); // the fast one does not name its functions
      const { kernelPath, initrdPath } = await plain.info();
      const symbols = (await plain.run("grep -w __x64_sys_bpf /proc/kallsyms")).stdout;
      await plain.delete({ force: true });
      const kernel = readFileSync(kernelPath);
      const begin = offsetOf(kernel, BigInt(`0x${symbols.split(" ")[0]}`));
      const marked = kernel.subarray(begin, begin + ENDBR64.length).equals(ENDBR64) ? ENDBR64.length : 0;
      NOT_THERE.copy(kernel, begin + marked + TRACE_BYTES);
      const own = join(directory, "vmlinux");
      writeFileSync(own, kernel);
      const custom = { ...options, kernelPath: own, initrdPath: initrdPath! };
      const network = { mode: "restricted", allow: ["example.com"] } as const;
      await expect(SmolVM.create({ ...custom, network })).rejects.toMatchObject({
        code: "NOT_SUPPORTED",
        message: expect.stringMatching(/this kernel has no BPF sk_lookup \(Linux 5\.9\)/),
      });
      await using vm = await SmolVM.create(custom);
      expect((await vm.run("echo hi")).stdout).toBe("hi\n");
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  },
);
