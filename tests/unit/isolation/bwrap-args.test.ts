import { expect, test } from "vitest";
import { bwrapArgs } from "../../../src/isolation/bwrap-args.ts";
import { enclose } from "../../../src/isolation/enclose.ts";
import { NO_ENCLOSURE } from "../../../src/isolation/enclosure.ts";
import type { HostView } from "../../../src/isolation/view.ts";

const bubblewrap = { path: "/usr/bin/bwrap", monitor: "/opt/monitor", userNamespace: true };
const view: HostView = {
  system: [
    { kind: "tree", path: "/usr" },
    { kind: "link", path: "/lib", target: "usr/lib" },
  ],
  readOnly: ["/images/base"],
  optional: ["/etc/resolv.conf"],
  writable: ["/run/box", "/data/upper"],
  devices: ["/dev/kvm"],
  proc: false,
  network: "none",
};

test("an enclosed program sees what the view says, under the names that it has, and nothing else", () => {
  expect(bwrapArgs(bubblewrap, view).join(" ")).toMatchInlineSnapshot(
    `"/usr/bin/bwrap --unshare-user --unshare-pid --unshare-ipc --unshare-uts --unshare-cgroup-try --unshare-net --die-with-parent --cap-drop ALL --ro-bind /usr /usr --symlink usr/lib /lib --dev /dev --dev-bind /dev/kvm /dev/kvm --ro-bind-try /etc/resolv.conf /etc/resolv.conf --ro-bind /opt/monitor /opt/monitor --ro-bind /images/base /images/base --bind /run/box /run/box --bind /data/upper /data/upper --remount-ro / --chdir / --"`,
  );
});

test("the host's network and a /proc are there only where they are needed", () => {
  const args = bwrapArgs(bubblewrap, { ...view, network: "host", proc: true });
  expect(args).not.toContain("--unshare-net");
  expect(args.join(" ")).toContain("--proc /proc");
});

test("the last step into an enclosure is our own; without one the program is what is launched", () => {
  const { argv, wrapped } = enclose({ tier: "user", bubblewrap }, () => view, ["/usr/bin/vmm", "-x"]);
  expect(wrapped).toBe(true);
  expect(argv.slice(-6)).toEqual(["--", "/opt/monitor", "enter", "--", "/usr/bin/vmm", "-x"]);
  expect(enclose(NO_ENCLOSURE, () => view, ["/usr/bin/vmm"])).toEqual({
    argv: ["/usr/bin/vmm"],
    wrapped: false,
  });
});
