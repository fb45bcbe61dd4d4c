import { describe, expect, test } from "vitest";
import { fakeHost, part } from "../../helpers/fake-host.ts";

/** A Mac as far as the script can see: uname says so, and brew is a stand-in that notes its calls. */
const MAC = `
stand_in uname <<<'case $1 in -m) echo arm64 ;; *) echo Darwin ;; esac'
rm -f $root/usr/bin/qemu-system-aarch64
printf 'git\\n' >$root/run/formulae; chmod 666 $root/run/formulae; : >$root/run/calls; chmod 666 $root/run/calls
stand_in brew <<'BREW'
case $1 in
  list) cat /run/formulae ;;
  install) [ -z "\${BREW_FAILS:-}" ] || { echo "Error: no bottle available" >&2; exit 1; }; printf 'git\\nglib\\nqemu\\n' >/run/formulae ;;
esac
BREW
host useradd -m ann
setup() { as ann \${BREW_FAILS:+env BREW_FAILS=1} /checkout/scripts/system-setup-macos.sh "$@" 2>&1 && echo "exit 0" || echo "exit $?"; }
`;
describe("system-setup-macos.sh", () => {
  test("installs QEMU with Homebrew, and takes away what came with it", async () => {
    const { stdout, stderr } = await fakeHost(`${MAC}
      echo "== check"; setup --check
      echo "== dry"; setup --dry-run --configure-runtime
      echo "== install"; setup --configure-runtime --user ann
      stand_in qemu-system-aarch64 <<<''
      echo "== again"; setup --check
      echo "== uninstall"; setup --uninstall
      echo "== empty"; setup --uninstall; as ann find /home/ann/Library -name 'smolvm*'
      echo "== calls"; calls | grep brew`);
    expect(stderr).toBe("");
    expect(part(stdout, "check")).toMatch(/^missing {2}install QEMU: brew install qemu\n.*\nexit 1\n$/);
    expect(part(stdout, "dry")).toMatch(
      /^would {4}install QEMU: brew install qemu\nok .*nothing to configure.*\nexit 0\n$/,
    );
    expect(part(stdout, "install")).toMatch(
      /^change {3}install QEMU: brew install qemu\nok {7}runtime: .*\nok {7}user: .*\nok .*\nexit 0\n$/,
    );
    expect(part(stdout, "again")).toContain("exit 0\n");
    expect(part(stdout, "uninstall")).toBe("change   remove: brew uninstall --formula glib qemu\nexit 0\n");
    expect(part(stdout, "empty")).toBe("ok       nothing of this script's is here\nexit 0\n");
    expect(
      part(stdout, "calls")
        .split("\n")
        .filter((call) => !call.startsWith("brew list")),
    ).toEqual(["brew install qemu", "brew uninstall --formula glib qemu", ""]);
  });

  test("says what is wrong: root, no Homebrew, Firecracker, a failed install, another system", async () => {
    const { stdout } = await fakeHost(`${MAC}
      echo "== failed"; BREW_FAILS=1 setup
      echo "== root"; host /checkout/scripts/system-setup-macos.sh 2>&1 || echo "exit $?"
      echo "== firecracker"; setup --firecracker-archive x.tgz
      rm $root/run/stand-ins/brew; echo "== no brew"; setup
      rm $root/run/stand-ins/uname; echo "== linux"; setup`);
    expect(part(stdout, "failed")).toMatch(
      /error {4}installing QEMU failed: Error: no bottle available\n.*\nexit 1\n/,
    );
    expect(part(stdout, "root")).toMatch(
      /Homebrew refuses to work as root.*\n.*Run it without sudo: .*\nexit 1\n/,
    );
    expect(part(stdout, "firecracker")).toMatch(/Firecracker runs on Linux only.*\n.*\nexit 2\n/);
    expect(part(stdout, "no brew")).toMatch(/Homebrew is not installed\n.*https:\/\/brew.sh.*\nexit 1\n/);
    expect(part(stdout, "linux")).toMatch(/this script is for macOS\n.*system-setup.sh\nexit 1\n/);
  });
});
