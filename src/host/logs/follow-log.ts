import { type FSWatcher, watch } from "node:fs";
import { basename, dirname } from "node:path";
import { StringDecoder } from "node:string_decoder";
import type { Deadline } from "../../util/deadline.ts";
import { tailLines } from "../../util/tail-lines.ts";
import { type Missed, RotatedLog } from "./rotated-log.ts";

/** How often one looks without having been told: whether it is over, and where the file system tells of no changes. */
const LOOK_MS = 500;
/** At most so much of what is there already is searched for its last lines. Units: characters. */
const MAX_TAIL = 2 * 1024 * 1024;

export interface FollowLogOptions {
  readonly deadline: Deadline;
  /** whether nothing more will be written; what was written before is still read */
  readonly isOver: () => Promise<boolean>;
  /** only that many last lines of what is there already; default all */
  readonly tailLines?: number | undefined;
}

/** What stands where something was rotated away before it could be read. */
function missedNote({ missedBytes }: Missed): string {
  return `\n[smolvm: ${missedBytes} bytes of the console came faster than they were read, and are gone]\n`;
}

/**
 * The text of a log that the monitor writes: what is kept of it, then what comes, until it is over. Where the reader is
 * so slow that something is gone by then, a line says so.
 * @throws SmolVMError TIMEOUT, ABORTED by the deadline
 */
export async function* followLog(path: string, options: FollowLogOptions): AsyncGenerator<string> {
  const { deadline, isOver } = options;
  const changes = new Changes(path); // before the first read: nothing is missed between the two
  const log = new RotatedLog(path);
  const decoder = new StringDecoder("utf8");
  const text = (chunk: Uint8Array | Missed): string =>
    "missedBytes" in chunk ? decoder.end() + missedNote(chunk) : decoder.write(chunk);
  try {
    let over = await isOver();
    if (options.tailLines !== undefined) {
      let kept = "";
      for (const chunk of log.read()) kept = (kept + text(chunk)).slice(-MAX_TAIL);
      yield tailLines(kept, options.tailLines);
    }
    for (;;) {
      for (const chunk of log.read()) {
        yield text(chunk);
        deadline.check();
      }
      if (over) break;
      const changed = await changes.wait(deadline, LOOK_MS);
      // Not asked at every line of a guest that talks much.
      over = changed ? false : await isOver();
    }
    yield decoder.end();
  } finally {
    changes.close();
    log.close();
  }
}

/** Changes of a file, also when another one takes its name: its directory is watched. */
class Changes {
  #watcher: FSWatcher | undefined;
  #changed = false;
  #wake: (() => void) | undefined;

  constructor(path: string) {
    const name = basename(path);
    try {
      this.#watcher = watch(dirname(path), (_event, changed) => {
        if (changed !== null && changed !== name) return; // the disk, which changes all the time
        this.#changed = true;
        this.#wake?.();
      });
      this.#watcher.on("error", () => {}); // the look every now and then is left
    } catch {
      // No such directory, or no watches left on this host: the same.
    }
  }

  /** Waits for a change, at most `ms` milliseconds. Returns whether there was one. @throws SmolVMError as the deadline */
  async wait(deadline: Deadline, ms: number): Promise<boolean> {
    let timer: NodeJS.Timeout | undefined;
    try {
      if (!this.#changed) {
        await deadline.race(
          new Promise<void>((resolve) => {
            timer = setTimeout(resolve, ms);
            this.#wake = resolve;
          }),
        );
      }
      return this.#changed;
    } finally {
      clearTimeout(timer);
      this.#wake = undefined;
      this.#changed = false;
    }
  }

  close(): void {
    this.#watcher?.close();
  }
}
