import { describe, expect, test } from "vitest";
import { fakeHost, part } from "../../helpers/fake-host.ts";

/** The statuses and sentences that the script printed. */
const said = (output: string, status: string): string[] =>
  output.split("\n").flatMap((line) => (line.startsWith(`${status.padEnd(8)} `) ? [line.slice(9)] : []));

/** A machine with KVM, all packages, a Firecracker and a user, whose systemd is not running. */
const READY = `
cpu svm
device /dev/kvm 10 232 600 root:root
host useradd -m ann
stand_in apt-get <<<''
all_packages
stand_in firecracker <<<'echo "Firecracker v1.16.2"'
stand_in jailer <<<'echo "Jailer v1.16.2"'
setup() { host /checkout/scripts/system-setup.sh "$@" 2>&1 && echo "exit 0" || echo "exit $?"; }
kernel() { ip -br link; nft list ruleset; cat /proc/sys/net/ipv4/ip_forward; host stat -c '%a %U:%G' /dev/kvm; }
`;

describe("system-setup.sh", () => {
  test("checks, says what it would do, does it, does nothing again, and takes all of it back", async () => {
    const { stdout, stderr } = await fakeHost(`${READY}
      changes >$folder/before; kernel >>$folder/before
      echo "== check"; setup --check --configure-runtime --user ann
      echo "== dry"; setup --dry-run --configure-runtime --user ann
      echo "== untouched"; { changes; kernel; } | diff $folder/before - && echo the same
      echo "== first"; setup --configure-runtime --user ann
      echo "== kernel"; kernel
      echo "== second"; setup --configure-runtime --user ann
      echo "== check again"; as ann /checkout/scripts/system-setup.sh --check 2>&1 && echo "exit 0"
      echo "== dry uninstall"; setup --uninstall --dry-run
      echo "== uninstall"; setup --uninstall
      echo "== restored"; { changes; kernel; } | diff $folder/before - && echo the same
      echo "== uninstall again"; setup --uninstall
    `);
    expect(stderr).toBe("");
    const wanted = said(part(stdout, "check"), "missing");
    expect(wanted).toEqual([
      "make the group kvm",
      "add ann to the group kvm (from the next login on)",
      "write /etc/modules-load.d/smolvm.conf (KVM's modules after a reboot)",
      "write /etc/udev/rules.d/65-smolvm-kvm.rules (/dev/kvm for the group kvm, after a reboot)",
      "open /dev/kvm (600 root:root) to the group kvm",
      "write /etc/smolvm/runtime.conf (whose taps, and how many)",
      "write /usr/local/lib/smolvm/network (makes the taps and the packet filter)",
      "write /etc/sysctl.d/60-smolvm.conf (forwarding after a reboot)",
      "switch forwarding on (net.ipv4.ip_forward = 1)",
      "write /etc/modules-load.d/smolvm-network.conf (the taps' module after a reboot)",
      "write /etc/systemd/system/smolvm-network.service (starts it at every boot)",
      "enable smolvm-network.service",
      "make taps and packet filter: /usr/local/lib/smolvm/network up",
    ]);
    expect(part(stdout, "check")).toContain("exit 1\n");
    expect(said(part(stdout, "dry"), "would")).toEqual(wanted);
    expect(part(stdout, "untouched")).toBe("the same\n");
    expect(said(part(stdout, "first"), "change")).toEqual(wanted);
    expect(part(stdout, "first")).toContain("exit 0\n");
    expect(part(stdout, "kernel")).toMatch(/^smolvm31 /m);
    expect(part(stdout, "kernel")).toMatch(/table inet smolvm \{.*\n1\n660 root:kvm\n$/s);
    expect(said(part(stdout, "second"), "change")).toEqual([]);
    expect(part(stdout, "check again")).toContain("exit 0\n");
    expect(said(part(stdout, "uninstall"), "change")).toEqual(said(part(stdout, "dry uninstall"), "would"));
    expect(part(stdout, "restored")).toBe("the same\n");
    expect(said(part(stdout, "uninstall again"), "ok")).toEqual(["nothing of this script's is here"]);
  });

  test("an ordinary user is told the command with sudo, and a wrong command line the usage", async () => {
    const { stdout } = await fakeHost(`${READY}
      echo "== ann"; as ann /checkout/scripts/system-setup.sh --configure-runtime 2>&1 || echo "exit $?"
      echo "== wrong"; setup --nonsense; setup --user; setup --check --dry-run; setup --uninstall --user ann; setup --private-networks open; setup --configure-runtime --private-networks wide
      echo "== nobody"; setup --user nobody-of-that-name
    `);
    expect(part(stdout, "ann")).toContain("sudo /checkout/scripts/system-setup.sh --configure-runtime\n");
    expect(part(stdout, "ann")).toContain("exit 1\n");
    expect(part(stdout, "wrong").match(/exit 2/g)).toHaveLength(6);
    expect(said(part(stdout, "nobody"), "error")).toEqual(["there is no user 'nobody-of-that-name'"]);
  });

  test("a run that died half way is taken back as well", async () => {
    const { stdout } = await fakeHost(`${READY}
      changes >$folder/before; kernel >>$folder/before
      stand_in systemctl <<<'exit 1'
      echo "== broken"; setup --configure-runtime --user ann
      rm $root/run/stand-ins/systemctl
      setup --uninstall
      echo "== restored"; { changes; kernel; } | diff $folder/before - && echo the same
    `);
    expect(part(stdout, "broken")).toContain("enabling smolvm-network.service failed");
    expect(part(stdout, "broken")).toContain("exit 1\n");
    expect(part(stdout, "restored")).toBe("the same\n");
  });

  test("what was there before is left alone, and comes back where it was replaced", async () => {
    const { stdout } = await fakeHost(`${READY}
      host groupadd --system kvm; host usermod -a -G kvm ann; chmod 666 $root/dev/kvm
      mkdir -p $root/etc/sysctl.d; echo '# mine' >$root/etc/sysctl.d/60-smolvm.conf
      changes >$folder/before
      echo "== first"; setup --configure-runtime --user ann
      setup --uninstall
      echo "== restored"; changes | diff $folder/before - && echo the same
      cat $root/etc/sysctl.d/60-smolvm.conf; host id -nG ann
    `);
    expect(said(part(stdout, "first"), "ok")).toEqual(
      expect.arrayContaining([
        "the group kvm exists",
        "ann is in the group kvm",
        "/dev/kvm is open to everyone",
      ]),
    );
    expect(part(stdout, "restored")).toBe("the same\n# mine\nann kvm\n");
  });

  test("a machine that runs systemd starts the unit by it; one without is told what to start at boot", async () => {
    const { stdout } = await fakeHost(`${READY}
      mkdir -p $root/run/systemd/system
      stand_in systemctl <<<'case $1 in is-*) exit 1 ;; esac'
      echo "== systemd"; setup --configure-runtime --user ann; calls
      rm -r $root/run/systemd $root/run/stand-ins/systemctl $root/usr/bin/systemctl
      echo "== plain"; setup --configure-runtime --user ann
    `);
    expect(part(stdout, "systemd")).toContain("enable and start smolvm-network.service");
    expect(part(stdout, "systemd")).toMatch(
      /systemctl enable smolvm-network.service\nsystemctl daemon-reload\nsystemctl reload-or-restart smolvm-network.service\n/,
    );
    expect(said(part(stdout, "plain"), "note")).toEqual([
      "there is no systemd here: have '/usr/local/lib/smolvm/network up' run as root at every boot",
    ]);
    expect(said(part(stdout, "plain"), "change")).toContain(
      "make taps and packet filter: /usr/local/lib/smolvm/network up",
    );
  });

  test("the set-up of a newer version loads its own packet filter over the older one's", async () => {
    const { stdout } = await fakeHost(`${READY}
      network=/usr/local/lib/smolvm/network
      setup --configure-runtime --user ann >/dev/null
      sed -i '/@metadata drop/d' $network; host $network up
      echo "== newer"; setup --configure-runtime --user ann
      nft list chain inet smolvm through | grep -c '@metadata drop'
      nft flush chain inet smolvm host
      echo "== changed"; host $network check 2>&1 || setup --check
      echo "== again"; setup --configure-runtime --user ann; host $network check || true
    `);
    expect(said(part(stdout, "newer"), "change")).toEqual([
      "write /usr/local/lib/smolvm/network (makes the taps and the packet filter)",
      "make taps and packet filter: /usr/local/lib/smolvm/network up",
    ]);
    expect(part(stdout, "newer")).toMatch(/exit 0\n1\n$/);
    expect(part(stdout, "changed")).toContain("error: the packet filter is not as it is meant");
    expect(said(part(stdout, "changed"), "missing")).toEqual([
      "make taps and packet filter: /usr/local/lib/smolvm/network up",
    ]);
    expect(part(stdout, "again")).toMatch(/32 taps of ann, 10.213.0.0\/16\n$/);
  });

  test("private networks are opened to guests and closed again by an option, at once, and stay so without it", async () => {
    const { stdout } = await fakeHost(`${READY}
      open() { nft list set inet smolvm not_public | grep 192.168.0.0/16 >/dev/null && echo closed || echo open; }
      setup --configure-runtime --user ann >/dev/null; open
      sed -i '/^private=/d; s/^taps=32/taps=3/' /etc/smolvm/runtime.conf; host /usr/local/lib/smolvm/network up
      echo "== open"; setup --configure-runtime --user ann --private-networks open; open
      echo "== stays"; setup --configure-runtime --user ann; open; grep -E '^(private|taps|tap_user)=' /etc/smolvm/runtime.conf
      echo "== closed"; setup --configure-runtime --private-networks=closed >/dev/null; open; grep '^tap_user=' /etc/smolvm/runtime.conf
    `);
    expect(stdout).toMatch(/^closed\n/);
    expect(said(part(stdout, "open"), "change")).toEqual([
      "write /etc/smolvm/runtime.conf (whose taps, and how many)",
      "make taps and packet filter: /usr/local/lib/smolvm/network up",
    ]);
    expect(part(stdout, "open")).toMatch(/exit 0\nopen\n$/);
    expect(said(part(stdout, "stays"), "change")).toEqual([]);
    expect(part(stdout, "stays")).toMatch(/open\ntap_user=ann\ntaps=3\nprivate=open\n$/);
    expect(part(stdout, "closed")).toBe("closed\ntap_user=ann\n");
  });

  test("the unit is one that systemd understands, and what it starts brings all back after a reboot", async () => {
    const { stdout } = await fakeHost(`${READY}
      setup --configure-runtime --user ann >/dev/null
      echo "== verify"; host systemd-analyze verify --man=no /etc/systemd/system/smolvm-network.service 2>&1 || echo "exit $?"
      network=$(sed -n 's/^ExecStart=//p' $root/etc/systemd/system/smolvm-network.service)
      # A reboot leaves nothing of the kernel's.
      nft flush ruleset; for k in $(seq 0 31); do ip link delete smolvm$k; done
      echo "== gone"; host /usr/local/lib/smolvm/network check 2>&1 || echo "exit $?"
      echo "== boot"; host $network && host /usr/local/lib/smolvm/network check
      echo "== reload"; nft flush ruleset; ip link set smolvm3 down; host $network; nft list tables; ip -br link show smolvm3
    `);
    expect(part(stdout, "verify")).toBe("");
    expect(part(stdout, "gone")).toBe("error: the tap smolvm0 of ann is missing\nexit 1\n");
    expect(part(stdout, "boot")).toBe("32 taps of ann, 10.213.0.0/16\n");
    expect(part(stdout, "reload")).toMatch(/^table inet smolvm\ntable arp smolvm\nsmolvm3 .*UP/);
  });

  test("a tap is opened by the user it was made for, and by no other", async () => {
    const { stdout } = await fakeHost(`${READY}
      host useradd -m bob; setup --configure-runtime --user ann >/dev/null
      cat >$root/run/open.py <<'PYTHON'
import fcntl, os, struct
tap = os.open("/dev/net/tun", os.O_RDWR)
try:
    fcntl.ioctl(tap, 0x400454ca, struct.pack("16sH", b"smolvm5", 0x1002))  # TUNSETIFF, IFF_TAP | IFF_NO_PI
    print("opened")
except OSError as error:
    print(error.strerror)
PYTHON
      echo "== ann"; as ann python3 /run/open.py
      echo "== bob"; as bob python3 /run/open.py
      echo "== moved"; setup --user bob >/dev/null; as bob python3 /run/open.py; as ann python3 /run/open.py
    `);
    expect(part(stdout, "ann")).toBe("opened\n");
    expect(part(stdout, "bob")).toBe("Operation not permitted\n");
    expect(part(stdout, "moved")).toBe("opened\nOperation not permitted\n");
  });

  test("forwarding stays on when something else has come to need it", async () => {
    const { stdout } = await fakeHost(`${READY} setup --configure-runtime --user ann >/dev/null
      ip link add docker0 type bridge
      echo "== uninstall"; setup --uninstall; cat /proc/sys/net/ipv4/ip_forward`);
    expect(said(part(stdout, "uninstall"), "note")).toEqual([
      "net.ipv4.ip_forward stays on: docker0 may need it",
    ]);
    expect(part(stdout, "uninstall")).toMatch(/exit 0\n1\n$/);
  });

  test("a machine without hardware virtualization is set up for emulation, and told so", async () => {
    const { stdout } = await fakeHost(`${READY} cpu sse2; rm $root/dev/kvm $root/run/stand-ins/firecracker
      echo "== setup"; setup --user ann`);
    expect(said(part(stdout, "setup"), "note")).toEqual([
      expect.stringContaining("neither vmx nor svm"),
      expect.stringContaining("Firecracker is left out"),
    ]);
    expect(part(stdout, "setup")).toContain("exit 0\n");
  });
});
