import { expect, test } from "vitest";
import { bwrapArgs, chrootArgs } from "../../../src/isolation/bwrap-args.ts";
import { enclose, encloseJailer } from "../../../src/isolation/enclose.ts";
import { NO_ENCLOSURE } from "../../../src/isolation/enclosure.ts";
import type { HostView } from "../../../src/isolation/view.ts";

const bubblewrap = { path: "/usr/bin/bwrap", monitor: "/opt/monitor", userNamespace: true };
const view: HostView = {
  exit: "/data/exit.json",
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
    `"/usr/bin/bwrap --unshare-user --unshare-pid --unshare-ipc --unshare-uts --unshare-cgroup-try --unshare-net --die-with-parent --setenv SMOLVM_EXIT /data/exit.json --cap-drop ALL --dev /dev --dir /opt --dir /images --dir /etc --dir /run --dir /data --ro-bind /usr /usr --symlink usr/lib /lib --dir /dev --dev-bind /dev/kvm /dev/kvm --ro-bind-try /etc/resolv.conf /etc/resolv.conf --ro-bind /opt/monitor /opt/monitor --ro-bind /images/base /images/base --bind /run/box /run/box --bind /data/upper /data/upper --remount-ro / --chdir / --"`,
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
    cgroup: undefined,
  });
});

test("as root, the last step inside gives up all but a uid and the groups of its devices", () => {
  const privileged = { ...bubblewrap, userNamespace: false };
  const user = { uid: 1879048192, gid: 1879048192 };
  const groups = { ...view, groups: [104] };
  const { argv, cgroup } = enclose(
    { tier: "jail", bubblewrap: privileged, user, cgroup: "/sys/fs/cgroup/smolvm-x/box" },
    () => groups,
    ["/usr/bin/vmm"],
  );
  expect(cgroup).toBe("/sys/fs/cgroup/smolvm-x/box");
  expect(argv).not.toContain("--unshare-user");
  expect(argv.slice(argv.indexOf("/opt/monitor", argv.indexOf("--"))).join(" ")).toBe(
    "/opt/monitor enter --user 1879048192:1879048192:104 -- /usr/bin/vmm",
  );
  expect(bwrapArgs(privileged, view).join(" ")).toContain(
    "--cap-drop ALL --cap-add CAP_SETUID --cap-add CAP_SETGID --cap-add CAP_SETPCAP --cap-add CAP_CHOWN",
  );
});

test("a jailer sees the host, and what its program will see at the program's root", () => {
  const privileged = { ...bubblewrap, userNamespace: false };
  const user = { uid: 7, gid: 7 };
  const place = { bubblewrap: privileged, user, view: { ...view, proc: true }, root: "/data/jail/root" };
  expect(chrootArgs(privileged, place.view, place.root).join(" ")).toMatchInlineSnapshot(
    `"/usr/bin/bwrap --unshare-pid --unshare-ipc --unshare-uts --unshare-cgroup-try --unshare-net --die-with-parent --setenv SMOLVM_EXIT /data/exit.json --dev-bind / / --proc /data/jail/root/proc --dir /data/jail/root/images --dir /data/jail/root/run --dir /data/jail/root/data --ro-bind /images/base /data/jail/root/images/base --bind /run/box /data/jail/root/run/box --bind /data/upper /data/jail/root/data/upper --chdir / --"`,
  );
  const { argv } = encloseJailer({ tier: "jail" }, place, ["/usr/bin/jailer"]);
  expect(argv.slice(-6).join(" ")).toBe("/opt/monitor enter --own-output 7:7 -- /usr/bin/jailer");
});
