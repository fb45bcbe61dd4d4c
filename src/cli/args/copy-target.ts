import { SmolVMError } from "../../errors.ts";

/** What is at a path: "other" is a device, pipe or socket. */
export type PathKind = "file" | "directory" | "other" | undefined;

/** One side of a copy. */
export interface CopySide {
  readonly path: string;
  readonly kind: PathKind;
  /** a backslash parts names as a slash does: it is a path of a Windows host */
  readonly backslashes?: boolean | undefined;
}

/** The last component of a path, or undefined for `/`, `.`, `..` and the like, which have no name to copy under. Pure. */
function pathName(path: string): string | undefined {
  const name = path.replace(/\/+$/, "").split("/").at(-1)!;
  return name === "" || name === "." || name === ".." ? undefined : name;
}

/**
 * Where exactly a copy goes, by the rules of `docker cp`: into an existing directory under its own name;
 * a directory's content alone with `SRC/.`; else to exactly that path. Pure.
 * @param shown the two sides as typed, for errors
 * @throws SmolVMError FILE_NOT_FOUND, FILE_TYPE, FILE_UNSAFE for a name that would be a path where it goes
 */
export function copyTarget(
  from: CopySide,
  to: CopySide,
  shown: { readonly source: string; readonly target: string },
): string {
  const source = { ...from, path: slashed(from) };
  const target = { ...to, path: slashed(to) };
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
    if (!contentOnly && to.backslashes && name?.includes("\\")) {
      throw new SmolVMError(
        "FILE_UNSAFE",
        `${shown.source} cannot be copied under its own name: Windows takes the backslash for a directory's end`,
        { hint: `Give the copy a name: smolvm cp '${shown.source}' NEW-NAME` },
      );
    }
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

function slashed({ path, backslashes }: CopySide): string {
  return backslashes ? path.replaceAll("\\", "/") : path;
}
