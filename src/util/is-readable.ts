import type { Readable } from "node:stream";

/** Whether it is a Node stream that can be read and destroyed, of whichever copy of the class. */
export function isReadable(source: unknown): source is Readable {
  if (typeof source !== "object" || source === null) return false;
  const { pipe, destroy } = source as Partial<Readable>;
  return typeof pipe === "function" && typeof destroy === "function";
}
