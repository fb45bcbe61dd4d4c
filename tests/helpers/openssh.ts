import { mkdir, mkdtemp, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { Apt } from "../../src/images/debian/apt.ts";
import { hostMirror } from "../../src/images/debian/mirror.ts";
import type { SmolVM } from "../../src/index.ts";
import { Deadline } from "../../src/util/deadline.ts";
import { labCacheDir } from "../lab/parts.ts";
import { ARCH } from "./backends.ts";

/** Debian's OpenSSH, and what of its libraries the image does not have. */
const PACKAGES = ["openssh-server", "openssh-client", "libwrap0", "libedit2", "libfido2-1", "libcbor0.8"];

/**
 * Puts OpenSSH into a guest, with host keys, and starts its server. The packages are fetched once; apt checks them.
 * @param kinds of the keys; where a processor is emulated, rsa takes long
 */
export async function startSshd(vm: SmolVM, kinds: readonly ("ed25519" | "rsa")[]): Promise<void> {
  await vm.files.upload(await openssh(), "/opt/openssh");
  const keys = kinds.map(
    (kind) => `ssh-keygen -q -t ${kind} -b 1024 -N '' -f /etc/ssh/ssh_host_${kind}_key &&`,
  );
  await vm.run(
    `cp -a /opt/openssh/. / && cp /usr/share/openssh/sshd_config /etc/ssh/ && echo sshd:x:101:65534::/run/sshd:/usr/sbin/nologin >> /etc/passwd && mkdir -p /run/sshd &&
     ${keys.join(" ")} /usr/sbin/sshd && until ssh-keyscan 127.0.0.1 2>/dev/null | grep -q .; do sleep 0.1; done`,
    { check: true },
  );
}

/** A directory with its files. */
async function openssh(): Promise<string> {
  const target = join(labCacheDir(), `openssh-1-${ARCH}`);
  if (await isThere(target)) return target;
  const deadline = Deadline.within(120_000, "fetching OpenSSH");
  await mkdir(labCacheDir(), { recursive: true, mode: 0o700 });
  const work = await mkdtemp(join(labCacheDir(), "fetch-"));
  try {
    const apt = await Apt.open(join(work, "apt"), {
      arch: ARCH,
      mirror: await hostMirror(deadline),
      deadline,
    });
    for (const name of PACKAGES) await apt.unpack(await apt.download(name), join(work, "made"));
    // A unit for systemd; in the guest /lib is a link.
    await rm(join(work, "made", "lib"), { recursive: true, force: true });
    if (!(await isThere(target))) await rename(join(work, "made"), target);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  return target;
}

async function isThere(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
