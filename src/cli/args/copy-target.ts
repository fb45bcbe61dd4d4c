import { SmolVMError } from "../../errors.ts";

/** What is at a path: "other" is a device, pipe or socket. */
export type PathKind = "file" | "directory" | "other" | undefined;

/** The last component of a path, or undefined for `/`, `.`, `..` and the like, which have no name to copy under. Pure. */
function pathName(path: string): string | undefined {
  const name = path.replace(/\/+$/, "").split("/").at(-1)!;
  return name === "" || name === "." || name === ".." ? undefined : name;
}

/**
 * Where exactly a copy goes, by the rules of `docker cp`: into an existing directory under its own name;
 * a directory's content alone with `SRC/.`; else to exactly that path. Pure.
 * @param shown the two sides as typed, for errors
 * @throws SmolVMError FILE_NOT_FOUND, FILE_TYPE
 */
export function copyTarget(
  source: { readonly path: string; readonly kind: PathKind },
  target: { readonly path: string; readonly kind: PathKind },
  shown: { readonly source: string; readonly target: string },
): string {
  if (source.kind === undefined) throw new SmolVMError("FILE_NOT_FOUND", `${shown.source} does not exist`);
  if (source.kind === "other") {
    throw new SmolVMError("FILE_TYPE", `${shown.source} is neither a file nor a directory`);
  }
  if (source.kind === "file" && /\/\.?$/.test(source.path)) {
    throw new SmolVMError("FILE_TYPE", `${shown.source} is a file, not a directory`, {
      hint: "Leave the final slash out.",
    });
  }
  const asDirectory = /(^|\/)\.{0,2}$/.test(target.path); // ends in a slash, or is `.` or `..`
  if (target.kind === "directory") {
    const name = pathName(source.path);
    const contentOnly = source.kind === "directory" && (/(^|\/)\.$/.test(source.path) || name === undefined);
    return contentOnly ? target.path : `${target.path.replace(/\/*$/, "")}/${name}`;
  }
  if (target.kind !== undefined && (source.kind === "directory" || asDirectory)) {
    throw new SmolVMError("FILE_TYPE", `${shown.target} is a file, not a directory`);
  }
  if (target.kind === undefined && asDirectory && source.kind === "file") {
    throw new SmolVMError("FILE_NOT_FOUND", `the directory ${shown.target} does not exist`, {
      hint: "Create it first, or leave the final slash out to give the copy that name.",
    });
  }
  return target.path;
}
