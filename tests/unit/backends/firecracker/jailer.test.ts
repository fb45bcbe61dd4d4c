import { expect, test } from "vitest";
import { jailerArgs, jailRoot } from "../../../../src/backends/firecracker/jailer.ts";

test("the jailer gets a user and a place; the namespaces and the cgroup are around it already", () => {
  const request = {
    jailer: "/usr/local/bin/jailer",
    firecracker: "/usr/local/bin/firecracker",
    id: "0123456789ab",
    user: { uid: 1879048192, gid: 1879048192 },
    base: "/data/vms/0123456789ab/jail",
  };
  expect(jailRoot(request)).toBe("/data/vms/0123456789ab/jail/firecracker/0123456789ab/root");
  expect(jailerArgs(request).join(" ")).toBe(
    "/usr/local/bin/jailer --id 0123456789ab --exec-file /usr/local/bin/firecracker --uid 1879048192 --gid 1879048192 --chroot-base-dir /data/vms/0123456789ab/jail --cgroup-version 2 --",
  );
});
