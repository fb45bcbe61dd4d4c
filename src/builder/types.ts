import type { Limits } from "../config/options.ts";
import type { OnProgress } from "../config/progress.ts";
import type { CommittedImage } from "../types.ts";

/** Options of `images.build`. */
export interface BuildOptions extends Limits {
  /** what the image is to be called: plain names ("mine"), or as for a registry ("ghcr.io/me/mine:1"). Default: a name made of its digest */
  tags?: readonly string[] | undefined;
  /** path of the Dockerfile; default DIRECTORY/Dockerfile */
  dockerfile?: string | undefined;
  /** what stands in the Dockerfile, instead of a file that has it */
  dockerfileText?: string | undefined;
  /** values of what the file declares with ARG */
  buildArgs?: Readonly<Record<string, string>> | undefined;
  /** the stage that is built, by name or number; default the last one */
  target?: string | undefined;
  /** "linux/amd64" or "linux/arm64"; another one than this machine's is emulated. Default this machine's */
  platform?: string | undefined;
  /** files that steps see with `RUN --mount=type=secret,id=NAME`, by their ids; they are in no layer and no cache */
  secrets?: Readonly<Record<string, string | Uint8Array>> | undefined;
  /** what steps reach: "open" (default) or "off" */
  network?: "open" | "off" | undefined;
  /** carries every step out; default false */
  noCache?: boolean | undefined;
  /** as of a sandbox, of the images that FROM names. Default "missing" */
  pull?: "missing" | "always" | "never" | undefined;
  /** labels of the image besides */
  labels?: Readonly<Record<string, string>> | undefined;
  /** of the sandboxes that steps are carried out in, in MiB; default 1024 */
  memSizeMib?: number | undefined;
  /** as of a sandbox; default as there */
  vcpuCount?: number | undefined;
  /** as of a sandbox; default as there */
  diskSizeMib?: number | undefined;
  /** told about each stage of what is slow: pulling, unpacking */
  onProgress?: OnProgress | undefined;
  /** told about each step, and what it prints */
  onEvent?: ((event: BuildEvent) => void) | undefined;
}

/** What happens to a step of a build. */
export type BuildEvent =
  | {
      readonly type: "start";
      /** from 1, in the order of this build */
      readonly step: number;
      /** of the stage: its name, or "stage-N" */
      readonly stage: string;
      /** which of the stage's, and how many those are */
      readonly position: string;
      /** of the Dockerfile */
      readonly line: number;
      readonly instruction: string;
    }
  | {
      readonly type: "output";
      readonly step: number;
      readonly name: "stdout" | "stderr";
      readonly data: Uint8Array;
    }
  | { readonly type: "done"; readonly step: number; readonly cached: boolean; readonly durationMs: number }
  | { readonly type: "failed"; readonly step: number };

/** An image that was built. */
export interface BuiltImage extends CommittedImage {
  /** all names that it got */
  readonly names: readonly string[];
  /** steps that were carried out, and those that were known */
  readonly steps: { readonly carriedOut: number; readonly cached: number };
  /** what is odd about the Dockerfile or the options, and kept nothing from being built */
  readonly warnings: readonly string[];
}

/** The images of this user. */
export interface Images {
  /**
   * Builds an image as a Dockerfile says. Each step is carried out in a sandbox, in which nothing of this machine is mounted, and what it changes becomes a layer; a step of which nothing has changed is not carried
   * out again (docs/builds.md has what that depends on).
   * @param directory what the file copies from, without what a .dockerignore in it leaves out
   * @throws SmolVMError DOCKERFILE_INVALID (details.line), STEP_FAILED (details.line, details.exitCode, details.output), FILE_NOT_FOUND, CONFIG_INVALID, NOT_SUPPORTED, NO_SPACE, TIMEOUT, ABORTED;
   *   what pulling an image throws, and as {@link SmolVM.create}
   */
  build(directory: string, options?: BuildOptions): Promise<BuiltImage>;
}
