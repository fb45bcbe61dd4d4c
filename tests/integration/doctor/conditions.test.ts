import { describe, expect, test } from "vitest";
import type { DoctorReport } from "../../../src/doctor/run-doctor.ts";
import { fakeHost, part } from "../../helpers/fake-host.ts";

/**
 * A machine with KVM (its device is a stand-in that opens), QEMU and a user whose home is her own. `doctor` is what she
 * is told, as JSON.
 */
const MACHINE = `
cpu svm
host groupadd --system kvm
host useradd -m -G kvm ann
device /dev/kvm 1 3 660 root:kvm # a stand-in: /dev/null by another name
unset SMOLVM_HOME SMOLVM_QEMU SMOLVM_FIRECRACKER SMOLVM_BACKEND XDG_RUNTIME_DIR XDG_DATA_HOME XDG_CACHE_HOME
doctor() { as ann $smolvm doctor --json "$@" || true; }
# Answers what doctor asks a QEMU, and is none. QEMU_DELAY: seconds it takes
stand_in_qemu() {
  mkdir -p $root/opt
  cat >$root/opt/qemu <<QEMU
#!/bin/sh
# A stand-in for QEMU in smolvm's tests: it answers over QMP that it is version $1, and runs no guest.
sleep \${2:-0}
cat >/dev/null
echo '{"return":{"qemu":{"major":\${1%%.*},"minor":\${1##*.},"micro":0},"package":""},"id":"version"}'
echo '{"return":{"arch":"x86_64"},"id":"target"}'
echo '{"return":[{"name":"microvm"}],"id":"machines"}'
echo '{"return":[{"name":"tcg-accel"},{"name":"kvm-accel"}],"id":"accels"}'
QEMU
  chmod 755 $root/opt/qemu
}
`;

/** The check of a name on a machine that was changed by a script. */
async function checkOn(
  change: string,
  name: string,
  doctor = "doctor",
): Promise<DoctorReport["checks"][number] | undefined> {
  const { stdout, stderr } = await fakeHost(`${MACHINE}\n${change}\n${doctor}`);
  return reportIn(stdout, stderr).checks.find((check) => check.name === name);
}

function reportIn(output: string, errors: string): DoctorReport {
  try {
    return JSON.parse(output).data;
  } catch {
    throw new Error(`no report: ${output}${errors}`);
  }
}

const SETUP = String.raw`sudo \S+/scripts/system-setup.sh`;

describe("KVM", () => {
  test("that works is enabled, and the guest will run on it", async () => {
    const { stdout, stderr } = await fakeHost(`${MACHINE}\ndoctor`);
    const { checks } = reportIn(stdout, stderr);
    expect(checks).toEqual(
      expect.arrayContaining([
        { name: "KVM support", status: "pass", detail: "enabled" },
        { name: "Accelerator", status: "pass", detail: "kvm" },
        { name: "Speed", status: "pass", detail: "hardware" },
      ]),
    );
    expect(checks.find(({ name }) => name === "Isolation")?.detail).toContain("hardware virtualization");
  });

  test("that is not there has three remedies, the set-up last", async () => {
    expect(await checkOn("rm $root/dev/kvm", "KVM support")).toEqual({
      name: "KVM support",
      status: "warn",
      detail: "/dev/kvm does not exist",
      fix: expect.stringMatching(
        new RegExp(`lsmod \\| grep kvm.*BIOS.*: ${SETUP} --configure-runtime --user ann$`),
      ),
    });
  });

  test("that is root's alone is opened by the set-up: the remedy is really one", async () => {
    const { stdout, stderr } =
      await fakeHost(`${MACHINE} chmod 600 $root/dev/kvm; host chown root:root /dev/kvm
      host gpasswd -d ann kvm >/dev/null
      all_packages
      for name in firecracker jailer; do stand_in $name <<<'echo "Firecracker v1.16.2"'; done
      stand_in sudo <<<'exec "$@"'
      echo "== before"; doctor
      fix=$(as ann $smolvm doctor | sed -n '/KVM support/{n;s/.*log in again: //p}')
      echo "== fix"; host bash -c "$fix"
      echo "== after"; doctor`);
    const kvm = (name: string) =>
      reportIn(part(stdout, name), stderr).checks.find((check) => check.name === "KVM support");
    expect(kvm("before")).toMatchObject({ status: "warn", detail: "/dev/kvm is not open to 'ann'" });
    expect(kvm("before")?.fix).toMatch(new RegExp(SETUP));
    expect(part(stdout, "fix")).toContain("change   open /dev/kvm (600 root:root) to the group kvm");
    expect(kvm("after")).toEqual({ name: "KVM support", status: "pass", detail: "enabled" });
  });

  test("that a group may open is joined", async () => {
    expect(await checkOn("host gpasswd -d ann kvm >/dev/null", "KVM support")).toMatchObject({
      detail: "/dev/kvm is not open to 'ann'",
      fix: "Join the group, then log in again: sudo usermod -aG kvm ann",
    });
  });

  test("whose group was joined since the login needs a new one", async () => {
    const doctor =
      "host setpriv --reuid ann --regid ann --clear-groups env HOME=/home/ann $smolvm doctor --json || true";
    expect(await checkOn("", "KVM support", doctor)).toMatchObject({
      detail: "/dev/kvm is for group 'kvm', which 'ann' has joined since this session began",
      fix: "Log out and in again, or run: newgrp kvm",
    });
  });

  test("in software opens, and no guest can run on it", async () => {
    const { stdout, stderr } = await fakeHost(`${MACHINE} cpu sse2; doctor`);
    const { checks } = reportIn(stdout, stderr);
    expect(checks.find(({ name }) => name === "KVM support")).toMatchObject({
      status: "warn",
      detail: expect.stringContaining("neither vmx nor svm: a software KVM"),
      fix: expect.stringContaining("nested virtualization"),
    });
    expect(checks.find(({ name }) => name === "Speed")).toMatchObject({
      status: "warn",
      detail: "emulated, about 20 times slower",
    });
  });
});

describe("QEMU", () => {
  test("that is not there fails with the distribution's command", async () => {
    expect(await checkOn("rm $root/usr/bin/qemu-system-x86_64", "QEMU binary")).toEqual({
      name: "QEMU binary",
      status: "fail",
      detail: "qemu-system-x86_64 not found",
      fix: "Install it: sudo apt-get install -y qemu-system-x86",
    });
  });

  test("that is older than what is tried is a warning, and the way out is named", async () => {
    expect(await checkOn("stand_in_qemu 5.2; export SMOLVM_QEMU=/opt/qemu", "QEMU binary")).toEqual({
      name: "QEMU binary",
      status: "warn",
      detail: "/opt/qemu (5.2.0, named by SMOLVM_QEMU) is older than 6.2, the oldest that is tried",
      fix: "Use the one that is installed: unset SMOLVM_QEMU",
    });
  });

  test("that is slow to say its version is waited for", async () => {
    expect(await checkOn("stand_in_qemu 9.0 2; export SMOLVM_QEMU=/opt/qemu", "QEMU binary")).toEqual({
      name: "QEMU binary",
      status: "pass",
      detail: "/opt/qemu (9.0.0, named by SMOLVM_QEMU)",
    });
  });

  test("that never says its version is waited for once", async () => {
    const startedAt = performance.now();
    expect(await checkOn("stand_in_qemu 9.0 1000; export SMOLVM_QEMU=/opt/qemu", "QEMU binary")).toEqual({
      name: "QEMU binary",
      status: "warn",
      detail: "/opt/qemu did not say its version in time",
      fix: "Try it by hand, then again: /opt/qemu --version",
    });
    expect(performance.now() - startedAt).toBeLessThan(29_000); // 15 s is the limit of one question
  });

  test("that does not run is a failure in its own words", async () => {
    const broken = `printf '#!/bin/sh\\necho "cannot load libfoo" >&2; exit 127\\n' >$root/run/qemu; chmod 755 $root/run/qemu; export SMOLVM_QEMU=/run/qemu`;
    expect(await checkOn(broken, "QEMU binary")).toMatchObject({
      status: "fail",
      detail: "/run/qemu does not run: cannot load libfoo",
      fix: "See what it says: /run/qemu --version",
    });
  });

  test("without qemu-img cannot build images", async () => {
    expect(await checkOn("rm $root/usr/bin/qemu-img", "qemu-img")).toEqual({
      name: "qemu-img",
      status: "warn",
      detail: "not found (needed to build images)",
      fix: "Install it: sudo apt-get install -y qemu-utils",
    });
  });
});

describe("Firecracker", () => {
  const ready = `
    stand_in firecracker <<<'echo "Firecracker v\${VERSION:-1.16.2}"'
    stand_in jailer <<<'echo "Jailer v\${VERSION:-1.16.2}"'
    all_packages`;

  test("on a machine that was set up shows the lines of a good one", async () => {
    const { stdout } = await fakeHost(`${MACHINE} ${ready}
      host /checkout/scripts/system-setup.sh --configure-runtime --user ann >/dev/null
      as ann $smolvm doctor || true`);
    const lines = stdout.split("\n").filter((line) => !line.startsWith("   "));
    expect(lines.slice(0, 8)).toEqual([
      "✅ Platform: linux",
      "✅ Backend: firecracker",
      "✅ KVM support: enabled",
      "✅ Firecracker binary: /run/stand-ins/firecracker",
      "✅ Network tools: ip, nft",
      "✅ Sudo access: configured (run time needs none)",
      expect.stringMatching(/^✅ Architecture: /),
      "✅ Firecracker version: 1.16.2, jailer 1.16.2",
    ]);
    expect(lines).toContain("✅ Taps: 32 of 32");
  });

  test("without taps is passed over for the default sandbox, with the command that makes them", async () => {
    const { stdout, stderr } = await fakeHost(`${MACHINE} ${ready}\ndoctor`);
    const report = reportIn(stdout, stderr);
    expect(report.backend_resolved).toBe("qemu");
    expect(report.checks).toContainEqual({
      name: "Backend",
      status: "warn",
      detail: "qemu (firecracker: its network 'open' needs a tap: no taps are set up on this machine)",
      fix: expect.stringMatching(new RegExp(`^${SETUP} --configure-runtime --user ann$`)),
    });
  });

  test("that is missing, and a machine that was not set up, get the command of the set-up", async () => {
    const { stdout, stderr } = await fakeHost(
      `${MACHINE} rm -f /usr/sbin/nft /sbin/nft; doctor --backend firecracker`,
    );
    const { checks } = reportIn(stdout, stderr);
    const fix = expect.stringMatching(new RegExp(`^${SETUP} `));
    expect(checks).toEqual(
      expect.arrayContaining([
        { name: "Firecracker binary", status: "fail", detail: "firecracker not found", fix },
        { name: "Network tools", status: "fail", detail: "nft not found", fix },
        { name: "Sudo access", status: "warn", detail: "this machine was not set up", fix },
      ]),
    );
  });

  test("that is too old is refused, unless that was allowed; a jailer of another version is a warning", async () => {
    const { stdout, stderr } = await fakeHost(`${MACHINE} ${ready}
      echo "== old"; VERSION=1.12.1 doctor --backend firecracker
      echo "== allowed"; VERSION=1.12.1 SMOLVM_ALLOW_OLD_FIRECRACKER=1 doctor --backend firecracker
      stand_in jailer <<<'echo "Jailer v1.15.0"'
      echo "== mixed"; doctor --backend firecracker`);
    const version = (name: string) =>
      reportIn(part(stdout, name), stderr).checks.find((check) => check.name === "Firecracker version");
    expect(version("old")).toMatchObject({
      status: "fail",
      detail: expect.stringContaining("1.12.1 is older than 1.14.1"),
    });
    expect(version("allowed")).toMatchObject({
      status: "pass",
      detail: "1.12.1 (SMOLVM_ALLOW_OLD_FIRECRACKER is set), jailer 1.12.1",
    });
    expect(version("mixed")).toMatchObject({
      status: "warn",
      detail: expect.stringContaining("its jailer is 1.15.0"),
    });
  });

  test("taps that are gone, or another user's, are told with what brings them back", async () => {
    const { stdout, stderr } = await fakeHost(`${MACHINE} ${ready}
      host useradd -m -G kvm bob; host /checkout/scripts/system-setup.sh --configure-runtime --user ann >/dev/null
      echo "== bob"; as bob $smolvm doctor --json || true
      ip link delete smolvm7; echo "== gone"; doctor
      host /usr/local/lib/smolvm/network up; echo "== back"; doctor`);
    const taps = (name: string) =>
      reportIn(part(stdout, name), stderr).checks.find((check) => check.name === "Taps");
    expect(taps("bob")).toMatchObject({
      status: "warn",
      detail: "the taps belong to ann, not to bob",
      fix: expect.stringMatching(new RegExp(`^${SETUP} --configure-runtime --user bob$`)),
    });
    expect(taps("gone")).toMatchObject({
      status: "fail",
      detail: "31 of 32 are there",
      fix: "sudo /usr/local/lib/smolvm/network up",
    });
    expect(taps("back")).toEqual({ name: "Taps", status: "pass", detail: "32 of 32" });
  });
});

describe("the user's own things", () => {
  test("on a disk that is full are a failure, on one that is nearly full a warning", async () => {
    const disk = (mib: number): string =>
      `mkdir $root/run/home; mount -t tmpfs -o size=${mib}m,mode=1777 tmpfs $root/run/home; export SMOLVM_HOME=/run/home/smolvm`;
    expect(await checkOn(disk(1000), "Disk space")).toMatchObject({
      status: "warn",
      detail: expect.stringMatching(/^\d+ MiB free in \/run\/home\/smolvm/),
    });
    expect(await checkOn(disk(8), "Disk space")).toMatchObject({
      status: "fail",
      fix: "Free some space: df -h '/run/home/smolvm'. Or use a larger disk: export SMOLVM_HOME=DIRECTORY",
    });
    const full = `${disk(1)}; dd if=/dev/zero of=$root/run/home/big bs=64k 2>/dev/null || true`;
    expect(await checkOn(full, "Directories")).toMatchObject({
      status: "fail",
      fix: expect.stringMatching(/^Free some space: df -h '\/run\/home/),
    });
  });

  test("in a home that she may not write fail, and the way out is named", async () => {
    const { stdout, stderr } = await fakeHost(`${MACHINE} chown root:root $root/home/ann; doctor`);
    const { checks, summary } = reportIn(stdout, stderr);
    expect(checks.find(({ name }) => name === "Directories")).toMatchObject({
      status: "fail",
      detail: expect.stringMatching(
        /^the directory '\/home\/ann\/\.local\/share\/smolvm' cannot be made: EACCES/,
      ),
      fix: "Set SMOLVM_HOME to a directory that you may write.",
    });
    expect(summary.ok).toBe(false);
    expect(checks.filter(({ detail }) => detail.includes("the check itself failed"))).toEqual([]);
  });

  test("in a store that is damaged fail, and the file stays as it is", async () => {
    const store = "/home/ann/.local/share/smolvm/store.db";
    const { stdout, stderr } = await fakeHost(`${MACHINE} as ann $smolvm ls >/dev/null
      as ann python3 -c 'import sqlite3; sqlite3.connect("${store}").execute("PRAGMA wal_checkpoint(TRUNCATE)")'
      as ann dd if=/dev/urandom of=${store} bs=4096 seek=2 count=2 conv=notrunc 2>/dev/null
      echo "== before"; as ann sha256sum ${store}; echo "== doctor"; doctor; echo "== after"; as ann sha256sum ${store}`);
    expect(
      reportIn(part(stdout, "doctor"), stderr).checks.find(({ name }) => name === "Store"),
    ).toMatchObject({
      status: "fail",
      detail: expect.stringMatching(new RegExp(`^the store '${store}' is damaged: `)),
      fix: expect.stringContaining(`rm '${store}'*`),
    });
    expect(part(stdout, "after")).toBe(part(stdout, "before"));
  });

  test("without user namespaces cannot build images, and the setting is named", async () => {
    const { stdout, stderr } = await fakeHost(`${MACHINE}
      echo "== before"; doctor
      cat >$root/run/without.py <<'PYTHON'
import ctypes, os, sys
ready, go = os.pipe(), os.pipe()
child = os.fork()
if child == 0:
    if ctypes.CDLL(None, use_errno=True).unshare(0x10000000) != 0:  # CLONE_NEWUSER
        sys.exit(os.strerror(ctypes.get_errno()))
    os.write(ready[1], b".")
    os.read(go[0], 1)
    open("/proc/sys/user/max_user_namespaces", "w").write("0")  # of this namespace, and none below it
    os.execvp(sys.argv[1], sys.argv[1:])
os.read(ready[0], 1)
for name in "uid_map", "gid_map":
    open(f"/proc/{child}/{name}", "w").write("0 0 65536")
os.write(go[1], b".")
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
PYTHON
      echo "== after"; host python3 /run/without.py setpriv --reuid ann --regid ann --init-groups env HOME=/home/ann $smolvm doctor --json || true`);
    const check = (name: string) =>
      reportIn(part(stdout, name), stderr).checks.find((check) => check.name === "User namespaces");
    expect(check("before")).toMatchObject({ status: "pass" });
    expect(check("after")).toEqual({
      name: "User namespaces",
      status: "warn",
      detail: "switched off (user.max_user_namespaces = 0) (images are built in one, unless by root)",
      fix: "sudo sysctl -w user.max_user_namespaces=15000",
    });
  });

  test("of a user who has no name are told by the number", async () => {
    const doctor =
      "host setpriv --reuid 4711 --regid 4711 --clear-groups env HOME=/tmp $smolvm doctor --json || true";
    expect(await checkOn("", "KVM support", doctor)).toMatchObject({
      detail: "/dev/kvm is not open to '4711'",
    });
  });
});

describe("a checkout", () => {
  test("without Rust and without the agent cannot build it; with the agent it need not", async () => {
    const checkout = `
      rm -rf $root/root/.cargo; rm -f $root/usr/bin/cargo $root/usr/local/bin/cargo
      mkdir $root/run/copy; tar -C $root/checkout --exclude=./native --exclude=./node_modules --exclude=./.git -cf - . | tar -C $root/run/copy -xf -
      mkdir $root/run/copy/native; smolvm="$\{smolvm%% *} /run/copy/src/cli/bin.ts"`;
    expect(await checkOn(checkout, "Rust")).toMatchObject({
      status: "fail",
      fix: "Install it: sudo apt-get install -y rustc-web cargo-web libstd-rust-web-dev",
    });
    expect(await checkOn(`${checkout}; touch $root/run/copy/native/agent-x86_64`, "Rust")).toMatchObject({
      status: "pass",
      detail: "cargo not found, and not needed: the agent is built",
    });
  });
});
