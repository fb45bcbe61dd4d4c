import { Readable } from "node:stream";
import type { AgentStream } from "../session/stream.ts";
import type { StdinSource } from "../types.ts";

/** Feeds a stream's channel 0 from a source; returns what stops the feeding, to be called when the stream is over. */
export function feedStdin(
  stream: AgentStream,
  source: StdinSource,
  onError: (error: unknown) => void,
): () => void {
  if (typeof source === "string" || source instanceof Uint8Array) {
    void stream.send(typeof source === "string" ? Buffer.from(source) : source);
    stream.end();
    return () => {};
  }
  let stopped = false;
  const iterator = source[Symbol.asyncIterator]() as AsyncIterator<Uint8Array | string>;
  const pump = async (): Promise<void> => {
    for (;;) {
      const next = await iterator.next();
      if (stopped) return;
      if (next.done) break;
      const chunk: unknown = next.value;
      if (typeof chunk === "string") await stream.send(Buffer.from(chunk));
      else if (chunk instanceof Uint8Array) await stream.send(chunk);
      else throw new TypeError(`stdin gave a ${typeof chunk}, which is neither bytes nor a string`);
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
    if (source instanceof Readable) {
      if (source === process.stdin) source.pause();
      else if (!source.destroyed) source.destroy();
    } else {
      iterator.return?.(undefined)?.catch(() => {}); // its cleanup is its own affair
    }
  };
}
