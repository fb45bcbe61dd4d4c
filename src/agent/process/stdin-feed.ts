import { contentOf, kindOf } from "../../util/bytes.ts";
import { isReadable } from "../../util/is-readable.ts";
import type { AgentStream } from "../session/stream.ts";
import type { StdinSource } from "../types.ts";

/** Feeds a stream's channel 0 from a source; returns what stops the feeding, to be called when the stream is over. */
export function feedStdin(
  stream: AgentStream,
  source: StdinSource,
  onError: (error: unknown) => void,
): () => void {
  const whole = contentOf(source);
  if (whole !== undefined) {
    void stream.send(whole);
    stream.end();
    return () => {};
  }
  let stopped = false;
  const pieces = source as AsyncIterable<unknown>;
  const iterator = pieces[Symbol.asyncIterator]();
  const pump = async (): Promise<void> => {
    for (;;) {
      const next = await iterator.next();
      if (stopped) return;
      if (next.done) break;
      const chunk = contentOf(next.value);
      if (chunk === undefined)
        throw new TypeError(`it gave ${kindOf(next.value)}, which is neither bytes nor a string`);
      await stream.send(chunk);
      if (stopped) return;
    }
    stream.end();
  };
  pump().catch((error: unknown) => {
    if (!stopped) onError(error);
  });
  return () => {
    if (stopped) return;
    stopped = true;
    // The command reads no more. The process's own stdin is only let go, since others may want it.
    if (isReadable(source)) {
      if (source === process.stdin) source.pause();
      else if (!source.destroyed) source.destroy();
    } else {
      iterator.return?.(undefined)?.catch(() => {}); // its cleanup is its own affair
    }
  };
}
