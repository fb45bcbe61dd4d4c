/** The hint for what is in use: what to remove first. `snapshot NAME` among the users is a snapshot, `pool NAME` a pool, all else a sandbox. Pure. */
export function removeFirst(users: readonly string[]): string {
  const commands = ["", "snapshot ", "pool "].flatMap((kind) => {
    const isOfKind = (user: string): boolean => (kind === "" ? !user.includes(" ") : user.startsWith(kind));
    const names = [...new Set(users.filter(isOfKind).map((user) => user.slice(kind.length)))];
    return names.length === 0 ? [] : [`smolvm ${kind}rm ${names.join(" ")}`];
  });
  return `Delete them first: ${commands.join(" && ")}`;
}
