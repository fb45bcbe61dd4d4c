import { anyBytes } from "../../util/random-bytes.ts";

// Short, easy to say and to type, and hard to confuse with each other.
const WORDS = [
  "amber", "apple", "birch", "bison", "cedar", "cloud", "coral", "crane", "delta", "ember", "fable", "fern",
  "finch", "flint", "glade", "grove", "hazel", "heron", "iris", "ivory", "jade", "juno", "koala", "lark",
  "lemon", "lilac", "lotus", "maple", "marsh", "mint", "moss", "ocean", "olive", "onyx", "otter", "pearl",
  "pine", "plum", "quail", "raven", "reed", "river", "robin", "sable", "sage", "slate", "tern", "tulip",
  "umber", "vale", "wren", "yarrow", "zinc",
]; // biome-ignore format: a table

/** A new internal id: 12 hex digits, also the name of the sandbox's directories. */
export function newId(): string {
  return anyBytes(6).toString("hex");
}

/** A name for a sandbox that was given none, e.g. "sbx-otter-3f2a". */
export function generatedName(): string {
  const bytes = anyBytes(4);
  return `sbx-${WORDS[bytes.readUInt16LE(0) % WORDS.length]}-${bytes.toString("hex", 2)}`;
}
