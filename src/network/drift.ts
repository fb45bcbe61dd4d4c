/** How a packet filter differs from the one that is meant: lines that are missing, and lines that are there besides. */
export interface Drift {
  readonly missing: readonly string[];
  readonly added: readonly string[];
}

/** The difference of two listings of the same table; undefined: there is none. Pure. */
export function drift(wanted: string, live: string): Drift | undefined {
  const [want, have] = [lines(wanted), lines(live)];
  if (want.join("\n") === have.join("\n")) return undefined;
  return { missing: without(want, have), added: without(have, want) };
}

/** Rules with the chain that they are in. */
function lines(text: string): string[] {
  const found: string[] = [];
  let block = "";
  for (const line of text.split("\n").map((part) => part.trim().replace(/\s+/g, " "))) {
    if (line === "" || line === "}") continue;
    if (line.endsWith("{") && /^(table|chain|set) /.test(line)) block = line.replace(" {", "");
    else found.push(`${block}: ${line}`);
  }
  return found;
}

function without(some: readonly string[], others: readonly string[]): string[] {
  return some.filter((line) => !others.includes(line));
}
