import { posix } from "node:path";
import type { AddedFile } from "../context/added-file.ts";
import { addedFiles } from "../context/added-files.ts";
import { matching } from "../machine/matching.ts";
import { takeFile, takeTree } from "../machine/take.ts";
import type { StepMount } from "../plan/mounts.ts";
import type { Step } from "./step.ts";

/** What a bind mount mounts: a file, or the files of a directory. */
export interface BoundFiles {
  readonly files: readonly Pick<AddedFile, "tar">[];
  readonly isOneFile: boolean;
}

/** It before the step is known not to be known. */
export interface Bound {
  /** of all that it is */
  readonly digest: string;
  readonly open: () => Promise<BoundFiles>;
}

/** Files of the context, or a file or directory of a stage or image. @throws SmolVMError DOCKERFILE_INVALID */
export async function boundFiles(
  step: Step,
  { from, source }: Extract<StepMount, { type: "bind" }>,
): Promise<Bound> {
  if (from !== undefined) return await ofSource(step, from, source);
  const { context, home, deadline } = step.build;
  const files = await addedFiles(context, [source], {
    dirs: home.paths,
    keyword: "COPY",
    checksum: undefined,
    deadline,
    fail: step.fail,
  });
  const [file] = files;
  return { digest: await file!.digest(), open: async () => ({ files, isOneFile: file!.isOneFile }) };
}

async function ofSource(step: Step, from: string, source: string): Promise<Bound> {
  const { key, machine } = await step.source(from);
  const open = async (): Promise<BoundFiles> => {
    const given = await machine();
    const [path] = await matching(given, posix.resolve("/", source));
    if (path === undefined) throw step.fail(`there is no '${source}' to mount in '${from}'`);
    const info = await given.vm.files.stat(path, { user: "0" });
    const isOneFile = info.type !== "directory";
    const tar = () => (isOneFile ? takeFile(given, info, "file") : takeTree(given, path));
    return { files: [{ tar }], isOneFile };
  };
  return { digest: key, open };
}
