import { describe, expect, test } from "vitest";
import { fakeHost } from "../../helpers/fake-host.ts";

/**
 * A machine of a distribution that has none of the programs. Its package manager is a stand-in that notes its calls, and
 * "installs" the packages it was given and one more that they need.
 */
const machine = (osRelease: string): string => `
stand_in uname <<<'case $1 in -m) echo \${MACHINE_ARCH:-x86_64} ;; *) echo Linux ;; esac'
cpu sse2
rm -f $root/etc/os-release; printf '${osRelease}' >$root/etc/os-release
for name in qemu-system-x86_64 qemu-system-aarch64 qemu-img nft bwrap pasta curl mmdebstrap tar2sqfs newuidmap modprobe; do
  rm -f $root/usr/bin/$name $root/usr/sbin/$name $root/sbin/$name
done
echo old >$root/run/installed
for name in dnf zypper pacman apt-get; do stand_in $name <<'STAND_IN'
case " $* " in
  *" -Qq "*) exec cat /run/installed ;;
  *" -R "*) exit 0 ;;
  *" update "*) exit 0 ;;
esac
for word in "$@"; do
  case $word in -* | install) ;; *) echo "$word" >>/run/installed ;; esac
done
echo lib-of-qemu >>/run/installed
STAND_IN
done
stand_in rpm <<<'case $1 in -qa) cat /run/installed ;; esac'
stand_in dpkg-query <<<'sed "s/$/ installed/" /run/installed'
stand_in dpkg <<<''
host /checkout/scripts/system-setup.sh >/dev/null
host /checkout/scripts/system-setup.sh --uninstall >/dev/null
calls | grep -v -e '-qa' -e '-Qq' -e dpkg-query -e uname || true
`;

const DEBIAN_PACKAGES =
  "qemu-system-x86 qemu-utils nftables bubblewrap passt kmod curl mmdebstrap squashfs-tools-ng uidmap";

describe("the packages", () => {
  test.each([
    [
      "Debian",
      "ID=debian\\nVERSION_ID=12\\n",
      [
        "apt-get update",
        `apt-get install -y --no-install-recommends ${DEBIAN_PACKAGES}`,
        `dpkg --purge ${reversed(`${DEBIAN_PACKAGES} lib-of-qemu`)}`,
      ],
    ],
    [
      "Ubuntu",
      "ID=ubuntu\\nID_LIKE=debian\\n",
      [
        "apt-get update",
        `apt-get install -y --no-install-recommends ${DEBIAN_PACKAGES}`,
        `dpkg --purge ${reversed(`${DEBIAN_PACKAGES} lib-of-qemu`)}`,
      ],
    ],
    [
      "Fedora",
      "ID=fedora\\n",
      [
        "dnf install -y --setopt=install_weak_deps=False qemu-system-x86-core qemu-img nftables bubblewrap passt kmod curl",
        `rpm -e ${reversed("qemu-system-x86-core qemu-img nftables bubblewrap passt kmod curl lib-of-qemu")}`,
      ],
    ],
    [
      "Rocky Linux",
      'ID="rocky"\\nID_LIKE="rhel centos fedora"\\n',
      [
        "dnf install -y --setopt=install_weak_deps=False qemu-kvm-core qemu-img nftables bubblewrap kmod curl",
        `rpm -e ${reversed("qemu-kvm-core qemu-img nftables bubblewrap kmod curl lib-of-qemu")}`,
      ],
    ],
    [
      "RHEL",
      'ID="rhel"\\nID_LIKE="fedora"\\n',
      [
        "dnf install -y --setopt=install_weak_deps=False qemu-kvm-core qemu-img nftables bubblewrap kmod curl",
        `rpm -e ${reversed("qemu-kvm-core qemu-img nftables bubblewrap kmod curl lib-of-qemu")}`,
      ],
    ],
    [
      "Arch",
      "ID=arch\\n",
      [
        "pacman -S --needed --noconfirm qemu-system-x86 qemu-img nftables bubblewrap passt kmod curl",
        `pacman -R --noconfirm ${reversed("qemu-system-x86 qemu-img nftables bubblewrap passt kmod curl lib-of-qemu")}`,
      ],
    ],
    [
      "openSUSE",
      'ID="opensuse-tumbleweed"\\nID_LIKE="opensuse suse"\\n',
      [
        "zypper --non-interactive install --no-recommends qemu-x86 qemu-img nftables bubblewrap passt kmod curl",
        `rpm -e ${reversed("qemu-x86 qemu-img nftables bubblewrap passt kmod curl lib-of-qemu")}`,
      ],
    ],
  ])("of %s are installed, and removed with what came with them", async (_name, osRelease, calls) => {
    const { stdout, stderr } = await fakeHost(machine(osRelease));
    expect(stderr).toBe("");
    expect(stdout.trimEnd().split("\n")).toEqual(calls);
  });

  test("for Arm are others", async () => {
    const { stdout } = await fakeHost(`export MACHINE_ARCH=aarch64; ${machine("ID=fedora\\n")}`);
    expect(stdout).toContain("install_weak_deps=False qemu-system-aarch64-core qemu-img");
  });

  test("that cannot be installed end the script with what the package manager said", async () => {
    const { stdout } = await fakeHost(`${machine("ID=fedora\\n")}
      stand_in dnf <<<'echo "No match for argument: qemu" >&2; exit 1'
      host /checkout/scripts/system-setup.sh 2>&1 || echo "exit $?"`);
    expect(stdout).toMatch(
      /error {4}installing packages failed: No match for argument: qemu\n {9}dnf install .*\nexit 1\n$/,
    );
  });

  test("that were installed before the script was killed are removed all the same", async () => {
    const { stdout } = await fakeHost(`${machine("ID=fedora\\n")}
      echo old >/run/installed
      stand_in dnf <<<'echo half-installed >>/run/installed; kill -TERM 0; sleep 60'
      setsid --wait /checkout/scripts/system-setup.sh >/dev/null || echo "killed: $?"
      /checkout/scripts/system-setup.sh --uninstall | grep packages`);
    expect(stdout).toMatch(/killed: \d+\nchange {3}remove packages: rpm -e half-installed\n$/);
  });

  test("of a distribution that is not known are left to its user, who is told which", async () => {
    const { stdout } = await fakeHost(`${machine("ID=plan9\\n")}
      host /checkout/scripts/system-setup.sh --check 2>&1 || echo "exit $?"`);
    expect(stdout).toMatch(
      /install QEMU \(x86_64\), qemu-img, iproute2, nftables, bubblewrap and passt by hand\n(.*\n)*exit 1\n$/,
    );
  });
});

/** As uninstalling names them: they were noted in alphabetic order. */
function reversed(packages: string): string {
  return packages.split(" ").sort().reverse().join(" ");
}
