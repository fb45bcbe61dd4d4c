import { nearest } from "../../util/nearest.ts";
import { COMMANDS } from "./index.ts";

/** What other tools call our commands. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  attach: "shell",
  build: "image build",
  console: "logs",
  delete: "rm",
  destroy: "rm",
  download: "cp",
  images: "image ls",
  inspect: "info",
  kill: "stop",
  list: "ls",
  new: "create",
  prune: "gc",
  pull: "image build",
  remove: "rm",
  show: "info",
  ssh: "shell",
  status: "info",
  up: "start",
  upload: "cp",
};

/** The command that was most likely meant by these words, of its group ("image lst") or of all; or undefined. Pure. */
export function suggestCommand(words: string): string | undefined {
  const group = words.slice(0, words.lastIndexOf(" ") + 1);
  const members = [...COMMANDS.keys()].filter((name) => name.startsWith(group));
  const word = words.slice(group.length);
  // The last word alone: the group is right, and its letters would make anything look near.
  const near = nearest(
    word,
    members.map((name) => name.slice(group.length)),
  );
  if (near !== undefined) return `${group}${near}`;
  const other = Object.hasOwn(ELSEWHERE, word) ? ELSEWHERE[word]! : undefined;
  return other === undefined ? undefined : [`${group}${other}`, other].find((name) => COMMANDS.has(name));
}
