import type { Arch } from "../config/spec.ts";

/** An image in the store, ready to boot. Paths are absolute and immutable (content-addressed). */
export interface Image {
  readonly name: string;
  readonly arch: Arch;
  /** sha256 (hex) over the manifest's content hashes */
  readonly digest: string;
  readonly rootfsPath: string;
  readonly rootfsFormat: "squashfs" | "erofs" | "ext4";
  readonly kernelPath: string;
  /** e.g. "6.1.0-56-cloud-amd64" */
  readonly kernelVersion: string;
  readonly initrdPath: string;
  /** Android sparse image of an empty ext4: the start of every writable disk */
  readonly seedPath: string;
  readonly sizeBytes: number;
  /** ISO 8601 */
  readonly createdAt: string;
}

/** Progress of something slow: one stage at a time. */
export interface Progress {
  /** e.g. "rootfs" */
  readonly stage: string;
  readonly message: string;
  /** 0..1 where it is known */
  readonly fraction?: number;
}
export type OnProgress = (progress: Progress) => void;
