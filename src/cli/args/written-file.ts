import { SmolVMError } from "../../errors.ts";

/**
 * The file that a command is to write. `-`, which elsewhere is a stream, would be a file of that name here, and what was to be piped on lay in it. Pure.
 * @throws SmolVMError USAGE
 */
export function fileToWrite(text: string): string {
  if (text !== "-") return text;
  throw new SmolVMError("USAGE", "'-' is no file: this command writes to one, and not to a stream", {
    hint: "Name the file; one that is really called that is ./-",
  });
}
