/**
 * What the verbs do to a sandbox, each noted in the store before it is done. A process that finds one of these and whose
 * author is dead knows what may be half done (vm/recovery/recover.ts).
 */
export const STEPS = [
  "create:files",
  "start:sockets",
  "start:enclosure",
  "start:launch",
  "start:identity",
  "capture:machine",
  "stop:machine",
  "delete:machine",
  "delete:files",
] as const;

export type Step = (typeof STEPS)[number];
