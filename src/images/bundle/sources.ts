import { sourceOf } from "../rootfs/debian.ts";
import type { KernelManifest } from "../store/kernel-manifest.ts";
import type { Manifest } from "../store/manifest.ts";
import type { SourceReference } from "./bundle-manifest.ts";

/** Debian keeps every version of every source package there, for good. */
const ARCHIVE = "https://snapshot.debian.org/package/";

/**
 * The source packages of everything in a bundle that others wrote, sorted by name. Pure.
 * @param kernel the fast kernel, if the bundle has one
 */
export function sourceReferences(image: Manifest, kernel: KernelManifest | undefined): SourceReference[] {
  const found = new Map<string, SourceReference & { of: string[] }>();
  const add = (name: string, version: string, of: string): void => {
    const key = `${name} ${version}`;
    const reference = `${ARCHIVE}${encodeURIComponent(name)}/${encodeURIComponent(version)}/`;
    const entry = found.get(key) ?? { package: name, version, reference, of: [] };
    entry.of.push(of);
    found.set(key, entry);
  };
  for (const { name, version, source } of image.packages) {
    const { name: from, version: at } = source ?? sourceOf(name, version, undefined);
    add(from, at, name);
  }
  // The signed kernel packages are made of the package "linux" of the same version.
  add("linux", image.kernel.packageVersion, image.kernel.packageName);
  if (kernel !== undefined) add("linux", kernel.source.version, "the fast kernel");
  return [...found.values()].sort((a, b) => (a.package < b.package ? -1 : 1));
}

/** SOURCES.md: what a bundle was made of, for people. Pure. */
export function sourcesText(
  { name, arch, smolvm }: { name: string; arch: string; smolvm: string },
  references: readonly SourceReference[],
  kernel: KernelManifest | undefined,
): string {
  const fast =
    kernel === undefined
      ? []
      : [
          "## The fast kernel (GPL-2.0-only)",
          "",
          `Built from the Debian package ${kernel.source.package} ${kernel.source.version} (sha256 of the .deb file`,
          `${kernel.source.sha256}) by ${kernel.compiler}, with`,
          "",
          "- the configuration `kernel/config`,",
          ...kernel.patches.map((patch) => `- the patch \`sources/${patch.name}\`,`),
          "- `make ARCH=... vmlinux` (x86_64) or `Image` (aarch64); the exact call is in smolvm's `kernel/` and",
          "  `src/images/kernel-build/`. The same compiler gives the same bytes.",
          "",
        ];
  return `${[
    `# What is in this bundle, and where its sources are`,
    "",
    `The image \`${name}\` for ${arch}, packed by smolvm ${smolvm}. Its root file system and its kernel are Debian's packages as they`,
    "are, each under its own license: see `/usr/share/doc/*/copyright` and `/usr/share/common-licenses` inside. The",
    "agent is a part of smolvm (Apache-2.0).",
    "",
    ...fast,
    "## Debian's source packages",
    "",
    "Exactly these versions, with the address at which Debian keeps them:",
    "",
    ...references.map(
      (source) => `- ${source.package} ${source.version} (${source.of.join(", ")}): <${source.reference}>`,
    ),
  ].join("\n")}\n`;
}
