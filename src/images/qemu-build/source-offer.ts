import type { QemuManifest } from "../store/qemu-store.ts";

/** What is written beside a QEMU of ours about where it comes from, as its licence wants it. Pure. */
export function sourceOffer({ qemuVersion, suite, inputs, compiler }: Omit<QemuManifest, "files">): string {
  const rows = inputs.map(
    ({ kind, package: name, version, sha256 }) => `| ${name} | ${version} | ${kind} | ${sha256} |`,
  );
  return `# QEMU ${qemuVersion}, as smolvm builds it

This program is free software: QEMU as a whole is under the GNU General Public License, version 2 (COPYING; LICENSE says
what else parts of it are under). It is linked with libslirp (BSD, COPYRIGHT.libslirp), glibc, glib and libseccomp (LGPL 2.1,
COPYING.LIB), PCRE2 and libfdt (BSD) and zlib. The firmware in share/ is Debian's, as it is in its packages (COPYRIGHT.qboot).

Complete source: Debian's packages of the release ${suite}, and the directory recipe/ beside this file, which holds
every change to them and every option; recipe/README.md says how to make these bytes again.

| package | version | what of it | sha256 |
| ------- | ------- | ---------- | ------ |
${rows.join("\n")}

Compiled with ${compiler}. Debian keeps the source of what it has released at https://snapshot.debian.org. Whoever got
this program from us without being able to get its source can have it from us, for three years, on request.
`;
}
