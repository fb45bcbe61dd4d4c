import { cpSync, readFileSync } from "node:fs";
import type { Arch } from "../../src/config/spec.ts";
import { processPaths } from "../../src/host/files/paths.ts";
import { imageLayout } from "../../src/images/store/layout.ts";
import { ARCH } from "./backends.ts";

/** Copies an image of this user's store to another one. */
export function copyImage(name: string, cacheDir: string, arch: Arch = ARCH): void {
  const [from, to] = [imageLayout(processPaths()), imageLayout({ cacheDir })];
  const ref = from.ref(name, arch);
  const { digest } = JSON.parse(readFileSync(ref, "utf8"));
  cpSync(ref, to.ref(name, arch));
  cpSync(from.image(digest), to.image(digest), { recursive: true });
}
