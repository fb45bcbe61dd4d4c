import { FileEventKind, type FileEvent as FileEventMessage } from "../wire/messages.ts";
import { violation } from "../wire/violation.ts";
import { entryPathProblem } from "./entry-path.ts";

/** One thing that happened at a watched path. */
export interface FileEvent {
  /**
   * `changed`: content, mode, owner or time; `renamed`: within what is watched (from outside it is `created`, to outside `removed`);
   * `overflow`: events were lost because they came faster than they were taken, so look at the files again; later ones are complete
   */
  readonly kind: "created" | "changed" | "removed" | "renamed" | "overflow";
  /** relative to the watched directory; empty: the watched file or directory itself. Bytes that are not UTF-8 read as U+FFFD */
  readonly path: string;
  /** of a rename: the path before */
  readonly from: string | undefined;
  /** it is (or was) a directory */
  readonly directory: boolean;
}

const KINDS: readonly (FileEvent["kind"] | undefined)[] = (() => {
  const kinds: FileEvent["kind"][] = [];
  for (const [name, number] of Object.entries(FileEventKind)) kinds[number] = name as FileEvent["kind"];
  return kinds;
})();

/** An event as users see it: its paths lead nowhere but below the watched directory. Pure. @throws SmolVMError AGENT_PROTOCOL */
export function fileEvent({ kind, path, from, directory }: FileEventMessage): FileEvent {
  const name = KINDS[kind];
  if (name === undefined) throw violation(`an event of kind ${kind}`);
  if (path.length > 0) checkPath(path);
  if (name === "renamed") checkPath(from);
  if (from.length > 0 !== (name === "renamed")) throw violation("an event with another one's path");
  const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString("utf8");
  return { kind: name, path: text(path), from: from.length > 0 ? text(from) : undefined, directory };
}

function checkPath(path: Uint8Array): void {
  const problem = entryPathProblem(path, "linux");
  if (problem !== undefined) throw violation(`an event's path that ${problem}`);
}
