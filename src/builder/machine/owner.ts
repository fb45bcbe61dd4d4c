import type { SmolVM } from "../../smolvm.ts";
import type { Fail } from "../plan/errors.ts";

/** Users and groups as `--chown` names them: an image says in its own files who has which number. @throws what `fail` makes */
export async function ownerOf(
  vm: SmolVM,
  chown: string,
  fail: Fail,
): Promise<{ readonly uid: number; readonly gid: number }> {
  const [user = "", group] = chown.split(":");
  const isNumber = /^\d{1,10}$/;
  const entryOf = async (name: string, path: string): Promise<string[]> => {
    const text = await vm.files.readText(path, { user: "0" }).catch(() => "");
    const entries = text.split("\n").map((entry) => entry.split(":"));
    const found = entries.find((entry) => entry[0] === name);
    if (found === undefined) throw fail(`the image's ${path} has no '${name}'`);
    return found;
  };
  if (user === "") throw fail(`--chown=${chown} names no user`);
  const entry = isNumber.test(user) ? undefined : await entryOf(user, "/etc/passwd");
  const uid = Number(entry?.[2] ?? user);
  if (group === undefined) return { uid, gid: entry === undefined ? uid : Number(entry[3]) };
  if (isNumber.test(group)) return { uid, gid: Number(group) };
  return { uid, gid: Number((await entryOf(group, "/etc/group"))[2]) };
}
