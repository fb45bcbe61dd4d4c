import { BAD_FRAMES } from "./bad-frames.ts";
import { FRAMES } from "./frames.ts";
import { MESSAGES } from "./messages.ts";
import { RECORDS } from "./records.ts";
import { SESSION } from "./session.ts";
import type { Vector } from "./vector.ts";

/** All golden vectors, by the file in protocol/vectors they are written to. */
export const VECTOR_FILES: Readonly<Record<string, readonly Vector[]>> = {
  frames: FRAMES,
  "bad-frames": BAD_FRAMES,
  session: SESSION,
  messages: MESSAGES,
  records: RECORDS,
};

/** The content of a vector file. */
export function vectorJson(vectors: readonly Vector[]): string {
  return `[\n${vectors.map((vector) => `  ${JSON.stringify(vector)}`).join(",\n")}\n]\n`;
}
