import type { Arch } from "../../config/spec.ts";
import type { RootfsFormat } from "../formats/rootfs-format.ts";
import type { ImageConfig } from "../oci/config.ts";
import type { Descriptor } from "../oci/manifest.ts";

/** An image in the store, ready to boot. Paths are absolute and immutable (content-addressed). */
export interface Image {
  readonly name: string;
  readonly arch: Arch;
  /** sha256 (hex) over the manifest's content hashes */
  readonly digest: string;
  /** it is of those for all users of this machine, and not this user's to change */
  readonly shared: boolean;
  /** where its files are */
  readonly directory: string;
  readonly rootfsPath: string;
  readonly rootfsFormat: RootfsFormat;
  /** vmlinux (x86_64) or Image (aarch64) */
  readonly kernelPath: string;
  /** sha256 (hex) of that file */
  readonly kernelSha256: string;
  /** e.g. "6.1.0-56-cloud-amd64" */
  readonly kernelVersion: string;
  /** the kernel's modules that an initramfs may need */
  readonly modules: readonly KernelModule[];
  /** directory of empty ext4 file systems that writable disks start from (seed.ts) */
  readonly seedPath: string;
  /** what its files take on the host's disk */
  readonly sizeBytes: number;
  /** ISO 8601 */
  readonly createdAt: string;
  /** of one that was pulled: where from, and what it says of how it is run */
  readonly origin: ImageOrigin | undefined;
}

/** What is known of an image that is made of layers. */
export interface ImageOrigin {
  /** made on this machine, of a sandbox or by a Dockerfile: nobody else has its layers; absent: it was pulled */
  readonly made?: "commit" | "build" | undefined;
  /** e.g. "docker.io/library/python:3.12", "oci:/srv/layout:1"; of one that was made here its name */
  readonly reference: string;
  /** of its manifest for this architecture, "sha256:..." */
  readonly manifest: string;
  /** which way its layers were made a file system (unpack/recipe.ts) */
  readonly recipe: number;
  readonly config: ImageConfig;
  /** packed, from the lowest up */
  readonly layers: readonly Descriptor[];
  /** its config document's digest */
  readonly configDigest: string;
  /** how each layer was made */
  readonly history: readonly { readonly createdBy: string; readonly empty: boolean }[];
  /** ISO 8601, as it says itself */
  readonly created: string | undefined;
}

/** One loadable module of a kernel. */
export interface KernelModule {
  /** as the kernel names it, with underscores, e.g. "virtio_blk" */
  readonly name: string;
  /** absolute path of the .ko file */
  readonly path: string;
  /** sha256 (hex) of the file */
  readonly sha256: string;
  /** names of the modules it needs directly */
  readonly depends: readonly string[];
}
