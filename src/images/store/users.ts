/** The hint for what is in use: what to remove first. `snapshot NAME` among the users is a snapshot, all else a sandbox. Pure. */
export function removeFirst(users: readonly string[]): string {
  const isSnapshot = (user: string): boolean => user.startsWith("snapshot ");
  const sandboxes = users.filter((user) => !isSnapshot(user));
  const snapshots = users.filter(isSnapshot).map((user) => user.slice("snapshot ".length));
  const commands = [
    ...(sandboxes.length === 0 ? [] : [`smolvm rm ${sandboxes.join(" ")}`]),
    ...(snapshots.length === 0 ? [] : [`smolvm snapshot rm ${snapshots.join(" ")}`]),
  ];
  return `Delete them first: ${commands.join(" && ")}`;
}
