/** Progress of something slow: one stage at a time. */
export interface Progress {
  /** short stable word, e.g. "rootfs", "boot" */
  readonly stage: string;
  readonly message: string;
  /** 0..1 where it is known */
  readonly fraction?: number;
}
export type OnProgress = (progress: Progress) => void;
