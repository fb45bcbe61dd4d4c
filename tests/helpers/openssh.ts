import type { SmolVM } from "../../src/index.ts";
import { ARCH } from "./backends.ts";
import { unpacked } from "./debian-packages.ts";

/** Debian's OpenSSH, and what of its libraries the image does not have. */
const PACKAGES = ["openssh-server", "openssh-client", "libwrap0", "libedit2", "libfido2-1", "libcbor0.8"];

/** The C library, and all that these need of others, for an image with another C library. */
const LIBRARIES = [
  ...[
    "libc6",
    "libcrypt1",
    "libaudit1",
    "libcap-ng0",
    "libpam0g",
    "libsystemd0",
    "libcap2",
    "libgcrypt20",
    "libgpg-error0",
  ],
  ...[
    "liblzma5",
    "libzstd1",
    "liblz4-1",
    "libselinux1",
    "libpcre2-8-0",
    "libgssapi-krb5-2",
    "libkrb5-3",
    "libk5crypto3",
  ],
  ...[
    "libkrb5support0",
    "libcom-err2",
    "libkeyutils1",
    "libssl3",
    "zlib1g",
    "libnsl2",
    "libtirpc3",
    "libtinfo6",
    "libbsd0",
  ],
  ...["libmd0", "libudev1"],
];

/**
 * Puts OpenSSH into a guest, with host keys, and starts its server. The packages are fetched once; apt checks them.
 * @param kinds of the keys; where a processor is emulated, rsa takes long
 */
export async function startSshd(vm: SmolVM, kinds: readonly ("ed25519" | "rsa")[]): Promise<void> {
  await vm.files.upload(await unpacked("openssh-1", PACKAGES, ["lib"]), "/opt/openssh"); // in /lib are units for systemd, and in the guest it is a link
  // Debian's programs name the loader that they need, and say "not found" where there is none.
  const loader = { x86_64: "/lib64/ld-linux-x86-64.so.2", aarch64: "/lib/ld-linux-aarch64.so.1" }[ARCH];
  if (!(await vm.files.exists(loader))) {
    await vm.files.upload(
      await unpacked("openssh-libraries-1", LIBRARIES, ["etc", "usr/share"]),
      "/opt/libraries",
    );
    await vm.run("cp -a /opt/libraries/. /", { check: true });
  }
  const keys = kinds.map(
    (kind) => `ssh-keygen -q -t ${kind} -b 1024 -N '' -f /etc/ssh/ssh_host_${kind}_key &&`,
  );
  await vm.run(
    `cp -a /opt/openssh/. / && cp /usr/share/openssh/sshd_config /etc/ssh/ && echo sshd:x:101:65534::/run/sshd:/usr/sbin/nologin >> /etc/passwd && mkdir -p /run/sshd &&
     ${keys.join(" ")} /usr/sbin/sshd && until ssh-keyscan 127.0.0.1 2>/dev/null | grep -q .; do sleep 0.1; done`,
    { check: true },
  );
}
