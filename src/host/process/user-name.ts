import { userInfo } from "node:os";

/** The name of this process's user, or its number where no database has a name for it (containers). */
export function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return String(process.getuid?.() ?? "");
  }
}
