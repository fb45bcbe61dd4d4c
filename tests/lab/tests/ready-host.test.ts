import { expect, test } from "vitest";
import { processPaths } from "../../../src/host/files/paths.ts";
import { fakeHost, part } from "../../helpers/fake-host.ts";
import { INTERNET } from "../../helpers/internet.ts";
import { scaled } from "../../helpers/speed.ts";

/**
 * A machine with KVM and a user ann, to be set up. Its copy of the scripts takes the lab's Firecracker, which is an older one, for
 * the release; no package is installed, because the lab has no way out.
 */
const MACHINE = `
PATH=/run/stand-ins:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
device /dev/kvm 10 232 600 root:root
stand_in apt-get <<<''
all_packages
host useradd -m ann
mkdir -p /run/release-v1.12.1-x86_64
for name in firecracker jailer; do cp "$(dirname "$SMOLVM_FIRECRACKER")/$name" /run/release-v1.12.1-x86_64/$name-v1.12.1-x86_64; done
unset SMOLVM_FIRECRACKER
tar -czf /run/fc.tgz -C /run release-v1.12.1-x86_64
cp -r /checkout/scripts /run/scripts
sed -i -e s/1.16.2/1.12.1/ -e s/1.14.1/1.12.1/g -e "s/x86_64) echo .*/x86_64) echo $(sha256sum </run/fc.tgz | cut -c 1-64) ;;/" \\
  /run/scripts/setup/firecracker-release.sh
setup() { /run/scripts/system-setup.sh "$@" 2>&1 && echo "exit 0" || echo "exit $?"; }
all="--configure-runtime --user ann --firecracker-archive /run/fc.tgz"
`;

test("the set-up checks a machine with KVM, changes it once, and takes that back", async () => {
  const { stdout } = await fakeHost(
    `${MACHINE}
    kernel() { ip -br link; nft list ruleset; cat /proc/sys/net/ipv4/ip_forward; stat -c '%a %U:%G' /dev/kvm; }
    changes >$folder/before; kernel >>$folder/before
    echo "== check"; setup --check $all
    echo "== dry run"; setup --dry-run $all
    echo "== untouched"; { changes; kernel; } | diff $folder/before - && echo the same
    echo "== first"; setup $all
    echo "== second"; setup $all
    echo "== uninstall"; setup --uninstall
    echo "== restored"; { changes; kernel; } | diff $folder/before - && echo the same`,
    { timeoutMs: scaled(60_000) },
  );
  expect(part(stdout, "check")).toMatch(/exit 1\n$/);
  expect(part(stdout, "dry run")).toMatch(/exit 0\n$/);
  expect(part(stdout, "untouched")).toBe("the same\n");
  expect(part(stdout, "first")).toMatch(/change {3}install Firecracker .*change {3}make taps .*exit 0\n$/s);
  expect(part(stdout, "second")).toMatch(/^(?!.*^change).*exit 0\n$/ms);
  expect(part(stdout, "uninstall")).toMatch(/exit 0\n$/);
  expect(part(stdout, "restored")).toBe("the same\n");
});

/** What ann has in her cache: the default image, and the fast kernel where that is built. */
const IMAGE = `
export XDG_DATA_HOME=/tmp/ann/data XDG_CACHE_HOME=/tmp/ann/cache
own=$XDG_CACHE_HOME/smolvm from=${processPaths().cacheDir}
mkdir -p $own/images/sha256 $own/kernels
cp -r $from/images/refs $own/images/
cp -r $from/images/sha256/"$(sed 's/.*:"//; s/".*//' $from/images/refs/debian.x86_64.json)" $own/images/sha256/
cp -r $from/kernels/x86_64.json $from/kernels/built $own/kernels/ 2>/dev/null || true
chown -R ann: /tmp/ann; chmod -R go= /tmp/ann
`;

test("on a machine that was set up the doctor says what the seeds say, and an ordinary user has Firecracker with a tap", async () => {
  const { stdout } = await fakeHost(
    `${MACHINE} ${IMAGE} ${INTERNET}
    echo "== setup"; setup $all
    echo "== doctor"; as ann $smolvm doctor || true
    echo "== sandbox"; as ann $smolvm create --quiet --start --isolation user --memory 256M --name box
    as ann $smolvm info --json box
    echo "== internet"; as ann $smolvm exec box -- python3 - 93.184.216.34 </run/ask.py
    echo "== gone"; as ann $smolvm rm -f box; cat /sys/class/net/smolvm*/carrier | sort -u`,
    { timeoutMs: scaled(60_000) },
  );
  expect(part(stdout, "setup")).toMatch(/exit 0\n$/);
  expect(part(stdout, "doctor").split("\n").slice(0, 6)).toEqual([
    "✅ Platform: linux",
    "✅ Backend: firecracker",
    "✅ KVM support: enabled",
    "✅ Firecracker binary: /usr/local/bin/firecracker",
    "✅ Network tools: ip, nft",
    "✅ Sudo access: configured (run time needs none)",
  ]);
  expect(JSON.parse(part(stdout, "sandbox").split("\n")[1] ?? "").data).toMatchObject({
    backend: "firecracker",
    accelerator: "kvm",
    isolation: { tier: "user" },
    network: { mode: "open", tap: expect.stringMatching(/^smolvm\d+$/) },
  });
  expect(part(stdout, "internet")).toMatch(/^93\.184\.216\.1\n/);
  expect(part(stdout, "gone")).toBe("box\n0\n");
});
