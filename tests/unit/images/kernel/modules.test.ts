import { describe, expect, test } from "vitest";
import { elfSection } from "../../../../src/images/formats/elf.ts";
import {
  loadOrder,
  moduleDepends,
  moduleName,
  stripModuleSignature,
  wantedModules,
} from "../../../../src/images/kernel/modules.ts";
import type { KernelModule } from "../../../../src/images/store/image.ts";
import { kernelModule } from "./elf-files.ts";

const module = (name: string, ...depends: string[]): KernelModule => ({
  name,
  depends,
  path: `/${name}`,
  sha256: "",
});
const names = (modules: readonly KernelModule[]): string[] => modules.map(({ name }) => name);

/** As Debian's cloud kernel has them. */
const DEBIAN = [
  module("virtio_ring"),
  module("virtio", "virtio_ring"),
  module("virtio_mmio", "virtio", "virtio_ring"),
  module("virtio_pci_modern_dev"),
  module("virtio_pci", "virtio_pci_modern_dev", "virtio", "virtio_ring"),
  module("virtio_console", "virtio", "virtio_ring"),
  module("virtio_blk", "virtio", "virtio_ring"),
  module("failover"),
  module("net_failover", "failover"),
  module("virtio_net", "net_failover", "virtio", "virtio_ring"),
  module("overlay"),
  module("squashfs"),
];

describe("the modules of a boot", () => {
  test("are what the machine needs, dependencies first, and no more", () => {
    const wanted = wantedModules({ machine: "microvm", nic: false, rootfsFormat: "squashfs", overlay: true });
    expect(names(loadOrder(DEBIAN, wanted))).toEqual([
      "virtio_ring",
      "virtio",
      "virtio_mmio",
      "virtio_console",
      "virtio_blk",
      "squashfs",
      "overlay",
    ]);
  });

  test("have the network card's only with a network card", () => {
    const needs = { machine: "microvm", rootfsFormat: "squashfs", overlay: true } as const;
    const without = names(loadOrder(DEBIAN, wantedModules({ ...needs, nic: false })));
    const withNic = names(loadOrder(DEBIAN, wantedModules({ ...needs, nic: true })));
    expect(withNic).toEqual([...without, "failover", "net_failover", "virtio_net"]);
  });

  test.each([
    ["microvm", "virtio_mmio", "virtio_pci"],
    ["virt", "virtio_mmio", "virtio_pci"],
    ["q35", "virtio_pci", "virtio_mmio"],
  ] as const)("have the bus of the machine %s", (machine, bus, other) => {
    const order = names(
      loadOrder(DEBIAN, wantedModules({ machine, nic: false, rootfsFormat: undefined, overlay: false })),
    );
    expect(order).toContain(bus);
    expect(order).not.toContain(other);
    expect(order).not.toContain("overlay");
  });

  test("leave out what is built into the kernel", () => {
    const wanted = wantedModules({ machine: "microvm", nic: true, rootfsFormat: "erofs", overlay: true });
    expect(loadOrder([], wanted)).toEqual([]);
  });

  test("are refused when a dependency is missing or circular", () => {
    expect(() => loadOrder([module("a", "b")], ["a"])).toThrow(
      "the kernel module a needs b, which is missing",
    );
    expect(() => loadOrder([module("a", "b"), module("b", "a")], ["a"])).toThrow("depends on itself");
  });
});

describe("a module file", () => {
  test("names what it depends on", () => {
    expect(
      moduleDepends(kernelModule(["license=GPL", "depends=virtio-ring,virtio", "name=virtio_blk"])),
    ).toEqual(["virtio_ring", "virtio"]);
    expect(moduleDepends(kernelModule(["license=GPL", "depends="]))).toEqual([]);
    expect(moduleDepends(kernelModule([]))).toEqual([]);
  });

  test("that is damaged is refused", () => {
    const file = kernelModule(["depends=a"]);
    expect(() => moduleDepends(Buffer.from("no"))).toThrow("damaged ELF file");
    expect(() => moduleDepends(file.subarray(0, -1))).toThrow("a section header is cut off");
    for (let at = 0; at < file.length; at++) {
      const damaged = Buffer.from(file);
      damaged[at] = 0xff;
      try {
        elfSection(damaged, ".modinfo");
      } catch (error) {
        expect(error).toMatchObject({ code: "IMAGE_INVALID" });
      }
    }
  });

  test("is named as the kernel does", () => {
    expect(moduleName("virtio-pci.ko")).toBe("virtio_pci");
    expect(moduleName("crc32c-intel.ko.xz")).toBe("crc32c_intel");
  });

  test("loses the signature that is appended to it, and nothing else", () => {
    const file = kernelModule(["depends=a"]);
    const signature = Buffer.alloc(300, 7);
    const trailer = Buffer.alloc(12);
    trailer.writeUInt32BE(signature.length, 8);
    const signed = Buffer.concat([file, signature, trailer, Buffer.from("~Module signature appended~\n")]);
    expect(Buffer.from(stripModuleSignature(signed)).equals(file)).toBe(true);
    expect(stripModuleSignature(file)).toBe(file);
    trailer.writeUInt32BE(1e9, 8); // longer than the file
    const lying = Buffer.concat([file, trailer, Buffer.from("~Module signature appended~\n")]);
    expect(stripModuleSignature(lying)).toBe(lying);
  });
});
