/**
 * Kernel configurations as text. A fragment asks for options; a .config is what the kernel's own rules made of it
 * (https://www.kernel.org/doc/html/v6.1/kbuild/kconfig-language.html).
 */

/** One line of a fragment: what it asks of an option. */
export interface ConfigRequest {
  /** with its prefix, e.g. "CONFIG_EXT4_FS" */
  readonly option: string;
  /** "y", "n", a number or a quoted string, as the kernel writes it */
  readonly value: string;
  /** where it was asked, e.g. "common.config:12" */
  readonly where: string;
}

/** A line that is neither empty, a comment, nor OPTION=VALUE. */
export interface FragmentMistake {
  readonly where: string;
  readonly text: string;
  readonly reason: string;
}

/** What a fragment asks for, and what in it cannot be understood. */
export interface Fragment {
  readonly requests: readonly ConfigRequest[];
  readonly mistakes: readonly FragmentMistake[];
}

/**
 * Reads a fragment. "m" is a mistake, as are lines that no kernel would read and an option that is asked for twice: the
 * kernel's tools would take the last one without a word. Pure.
 * @param name its file name, for messages
 */
export function parseFragment(name: string, text: string): Fragment {
  const requests = new Map<string, ConfigRequest>();
  const mistakes: FragmentMistake[] = [];
  for (const [index, line] of text.split("\n").entries()) {
    const where = `${name}:${index + 1}`;
    const trimmed = line.trim();
    if (trimmed === "" || trimmed.startsWith("#")) continue;
    const match = /^(CONFIG_[A-Za-z0-9_]+)=(y|n|-?\d+|0x[0-9a-fA-F]+|"[^"]*")$/.exec(trimmed);
    const mistake = (reason: string): void => {
      mistakes.push({ where, text: trimmed, reason });
    };
    if (match === null) mistake("is not OPTION=y, =n, a number or a quoted string");
    else if (requests.has(match[1]!))
      mistake(`asks again for what ${requests.get(match[1]!)!.where} asks for`);
    else requests.set(match[1]!, { option: match[1]!, value: match[2]!, where });
  }
  return { requests: [...requests.values()], mistakes };
}

/** The options of a .config and their values; what is not set is not in it. Pure. */
export function parseConfig(text: string): ReadonlyMap<string, string> {
  const options = new Map<string, string>();
  for (const line of text.split("\n")) {
    const match = /^(CONFIG_[A-Za-z0-9_]+)=(.*)$/.exec(line);
    if (match !== null && match[2] !== "n") options.set(match[1]!, match[2]!);
  }
  return options;
}

/** A request that the kernel's rules did not grant. */
export interface LostOption extends ConfigRequest {
  /** what the option is instead; "n" if it is not set */
  readonly got: string;
}

/**
 * The requests that did not survive `make olddefconfig`: an option of another kernel version, one whose dependencies are
 * not met, or one that another option selects. Pure.
 */
export function lostOptions(
  requests: readonly ConfigRequest[],
  config: ReadonlyMap<string, string>,
): LostOption[] {
  return requests
    .map((request) => ({ ...request, got: config.get(request.option) ?? "n" }))
    .filter(({ value, got }) => value !== got);
}
