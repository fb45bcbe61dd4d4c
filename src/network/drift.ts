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

/** Those whose connections are counted now: they come and go. */
const COUNTED = /elements = \{[^}]*ct count[^}]*\}/g;

/** Rules with the table's family and the chain that they are in. */
function lines(text: string): string[] {
  const found: string[] = [];
  let [table, block] = ["", ""];
  for (const line of text
    .replace(COUNTED, "")
    .split("\n")
    .map((part) => part.trim().replace(/\s+/g, " "))) {
    if (line === "" || line === "}") continue;
    const [kind = "", family = ""] = line.split(" ");
    if (line.endsWith("{") && kind === "table") table = family;
    else if (line.endsWith("{") && ["chain", "set"].includes(kind)) block = line.replace(" {", "");
    else found.push(`${table} ${block}: ${line}`);
  }
  return found;
}

function without(some: readonly string[], others: readonly string[]): string[] {
  return some.filter((line) => !others.includes(line));
}
