import { expandVariables } from "../../images/dockerfile/words.ts";
import type { AddedFile } from "../context/added-file.ts";
import { addedFiles, closeAll } from "../context/added-files.ts";
import { textFile } from "../context/text-file.ts";
import type { BuildMachine } from "../machine/machine.ts";
import { ownerOf } from "../machine/owner.ts";
import { destination, makeAbove, putTar } from "../machine/put.ts";
import { type Chmod, modeOf } from "../plan/chmod.ts";
import { copyFrom } from "./copy-from.ts";
import { copyOptions } from "./copy-options.ts";
import { copyPaths } from "./copy-paths.ts";
import type { Step } from "./step.ts";

/** COPY and ADD: of the context, of the Dockerfile itself (here-documents), of the network, or with `--from` of an image. */
export async function copy(step: Step): Promise<boolean> {
  const { build, stage, instruction } = step;
  const { keyword } = instruction;
  const options = copyOptions(step);
  const paths = copyPaths(step);
  if (options.from !== undefined) return await copyFrom(step, options.from, paths, options);
  const { chown, chmod, checksum, unpack, filter } = options;
  const { sources, path } = paths;
  const mode = chmod === undefined ? undefined : modeOf(chmod, step.fail);
  const texts = textFiles(step);
  const added = await addedFiles(build.context, sources, {
    dirs: build.home.paths,
    keyword,
    filter,
    checksum,
    unpack,
    offline: build.options.network === "off",
    deadline: build.deadline,
    fail: step.fail,
    warn: step.warn,
  });
  const files = [...added, ...texts];
  try {
    const digests = [];
    for (const file of files) digests.push(await file.digest());
    const depends = [keyword, path, chown, chmod, digests];
    return await stage.layer(depends, `${keyword} ${instruction.text}`, async (machine) => {
      const owner = chown === undefined ? { uid: 0, gid: 0 } : await ownerOf(machine.vm, chown, step.fail);
      for (const file of files) {
        const leftOut = await put(machine, file, path, { ...owner, mode });
        if (leftOut.length > 0) step.warn(`devices and pipes are left out: ${shownList(leftOut)}`);
      }
    });
  } finally {
    await closeAll(files);
  }
}

/** @returns paths that were left out */
async function put(
  { vm }: BuildMachine,
  file: AddedFile,
  path: string,
  placed: { readonly uid: number; readonly gid: number; readonly mode: Chmod | undefined },
): Promise<string[]> {
  const { uid, gid } = placed;
  const { directory, name } = await destination(vm, path, file.isOneFile);
  await makeAbove(vm, directory, file.above?.map((each) => ({ ...each, uid, gid })) ?? []);
  return await putTar(vm, file.tar({ ...placed, name }), directory);
}

function textFiles(step: Step): AddedFile[] {
  const { escaping } = step.build.plan;
  return step.instruction.heredocs.map(({ name, content, expand }) => {
    const whole = expand ? step.read(() => expandVariables(content, escaping, step.lookup)) : content;
    return textFile(name, whole);
  });
}

/** The first of many. */
function shownList(names: readonly string[]): string {
  const more = names.length - 3;
  return more > 0 ? `${names.slice(0, 3).join(", ")} and ${more} more` : names.join(", ");
}
