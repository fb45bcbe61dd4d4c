import { describe, expect, test } from "vitest";
import { fakeHost, part } from "../../helpers/fake-host.ts";

/**
 * A machine whose copy of the scripts takes an archive made here for the released one: its programs are stand-ins that
 * only know their version. `pin ARCH` writes the archive's checksum where the script has the real one's.
 */
const MACHINE = `
cpu vmx
device /dev/kvm 10 232 666 root:root
stand_in apt-get <<<''
all_packages
cp -r $root/checkout/scripts $root/run/scripts
release() { # ARCH VERSION
  local name=release-v1.16.2-$1 program
  mkdir -p $root/run/$name
  for program in firecracker jailer; do
    printf '#!/bin/sh\\n# A stand-in for %s of the tests.\\necho "%s v%s"\\n' $program $program $2 >$root/run/$name/$program-v1.16.2-$1
    chmod 755 $root/run/$name/$program-v1.16.2-$1
  done
  tar -czf $root/run/fc.tgz -C $root/run $name
}
pin() { sed -i "s/x86_64) echo [0-9a-f]*/x86_64) echo $(sha256sum <$root/run/fc.tgz | cut -d' ' -f1)/" $root/run/scripts/setup/firecracker-release.sh; }
setup() { host /run/scripts/system-setup.sh "$@" 2>&1 && echo "exit 0" || echo "exit $?"; }
stand_in uname <<<'case $1 in -m) echo \${MACHINE_ARCH:-x86_64} ;; *) echo Linux ;; esac'
`;
describe("Firecracker from an archive", () => {
  test("is installed with its jailer when the archive is the released one, and goes again", async () => {
    const { stdout } = await fakeHost(`${MACHINE} release x86_64 1.16.2; pin; changes >$folder/before
      echo "== install"; setup --firecracker-archive /run/fc.tgz
      echo "== there"; host firecracker; host jailer; stat -c '%a %u:%g' $root/usr/local/bin/jailer
      echo "== again"; setup
      setup --uninstall >/dev/null; echo "== gone"; changes | diff $folder/before - && echo the same`);
    expect(part(stdout, "install")).toContain(
      "change   install Firecracker 1.16.2 and its jailer to /usr/local/bin, from /run/fc.tgz\n",
    );
    expect(part(stdout, "there")).toBe("firecracker v1.16.2\njailer v1.16.2\n755 0:0\n");
    expect(part(stdout, "again")).toContain(
      "ok       Firecracker 1.16.2: /usr/local/bin/firecracker, with its jailer\n",
    );
    expect(part(stdout, "gone")).toBe("the same\n");
  });

  test("is refused when the archive is another one, and nothing of it was run or installed", async () => {
    const { stdout } = await fakeHost(`${MACHINE} release x86_64 1.16.2
      echo "== install"; setup --firecracker-archive /run/fc.tgz
      echo "== there"; ls $root/usr/local/bin | grep -c . || true; ls $root/tmp
      echo "== absent"; setup --firecracker-archive /run/none.tgz`);
    expect(part(stdout, "install")).toMatch(
      /error {4}'\/run\/fc.tgz' is not what was released: its SHA-256 is [0-9a-f]{64}, not 32e3cdcd/,
    );
    expect(part(stdout, "install")).toContain("exit 1\n");
    expect(part(stdout, "there")).not.toContain("firecracker");
    expect(part(stdout, "absent")).toContain("the archive '/run/none.tgz' cannot be read");
  });

  test("takes the place of one that is too old, which comes back", async () => {
    const { stdout } = await fakeHost(`${MACHINE} release x86_64 1.16.2; pin
      printf '#!/bin/sh\\necho "Firecracker v1.12.1"\\n' >$root/usr/local/bin/firecracker; chmod 755 $root/usr/local/bin/firecracker
      echo "== check"; setup --check
      echo "== install"; setup --firecracker-archive /run/fc.tgz; host firecracker
      setup --uninstall >/dev/null; echo "== back"; host firecracker; ls $root/usr/local/bin/jailer 2>&1 || true`);
    expect(part(stdout, "check")).toContain("(there is 1.12.1)");
    expect(part(stdout, "install")).toMatch(/exit 0\nfirecracker v1.16.2\n$/);
    expect(part(stdout, "back")).toMatch(/^Firecracker v1.12.1\n.*No such file/);
  });

  test("for aarch64, of which no checksum is known here, is checked against the release's own file", async () => {
    const { stdout } = await fakeHost(`${MACHINE} release aarch64 1.16.2; export MACHINE_ARCH=aarch64
      stand_in qemu-system-aarch64 <<<''
      echo "== without"; setup --firecracker-archive /run/fc.tgz
      echo "0000  firecracker-v1.16.2-aarch64.tgz" >$root/run/fc.tgz.sha256.txt
      echo "== wrong"; setup --firecracker-archive /run/fc.tgz
      sha256sum <$root/run/fc.tgz >$root/run/fc.tgz.sha256.txt
      echo "== right"; setup --firecracker-archive /run/fc.tgz`);
    expect(part(stdout, "without")).toContain("'/run/fc.tgz.sha256.txt' is missing");
    expect(part(stdout, "wrong")).toContain("is not what was released");
    expect(part(stdout, "right")).toContain("note     no checksum for aarch64 is known to this script");
    expect(part(stdout, "right")).toContain("exit 0\n");
  });

  test("that is not what it says, or cannot be downloaded, is an error with the way out", async () => {
    const { stdout } = await fakeHost(`${MACHINE} release x86_64 1.15.0; pin
      echo "== liar"; setup --firecracker-archive /run/fc.tgz
      rm -f $root/usr/local/bin/firecracker
      stand_in curl <<<'echo "curl: (6) Could not resolve host" >&2; exit 6'
      echo "== offline"; setup; calls | grep curl`);
    expect(part(stdout, "liar")).toContain("does not say that it is 1.16.2");
    expect(part(stdout, "offline")).toContain("--firecracker-archive firecracker-v1.16.2-x86_64.tgz\n");
    expect(part(stdout, "offline")).toMatch(
      /curl .*https:\/\/github.com\/firecracker-microvm\/firecracker\/releases\/download\/v1.16.2\/firecracker-v1.16.2-x86_64.tgz\n/,
    );
  });
});
