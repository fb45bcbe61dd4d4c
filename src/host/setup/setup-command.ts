import { hasPackage, packagedScript } from "../package.ts";
import { userName } from "../process/user-name.ts";

/** The command that sets this machine up, as a user types it: the platform's script, with sudo where it needs root. */
export function setupCommand(options: readonly string[] = []): string {
  if (!hasPackage()) return quotedWords(["npx", "smolvm", "setup", ...options]);
  if (process.platform === "darwin")
    return quotedWords([packagedScript("system-setup-macos.sh"), ...options]);
  const isRoot = process.getuid?.() === 0;
  return quotedWords([
    ...(isRoot ? [] : ["sudo"]),
    packagedScript("system-setup.sh"),
    ...options,
    ...(isRoot || options.includes("--uninstall") || options.includes("--user")
      ? []
      : ["--user", userName()]),
  ]);
}

/** Words as a shell takes them. Pure. */
function quotedWords(words: readonly string[]): string {
  return words
    .map((word) => (/^[\w./:=@%+-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`))
    .join(" ");
}
