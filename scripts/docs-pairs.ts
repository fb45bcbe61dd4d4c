import { type End, PAIRS } from "../tests/helpers/verb-pairs.ts";

const BEGIN = "<!-- Made by `npm run docs` from tests/helpers/verb-pairs.ts. -->\n";
const END = "\n<!-- End of what is made. -->";

/** A page with the table of what comes of two calls at once in the place that is marked for it. */
export function withPairs(page: string): string {
  const [before, rest] = page.split(BEGIN);
  const after = rest?.split(END)[1];
  if (before === undefined || after === undefined) throw new Error("the page has no place for the table");
  return `${before}${BEGIN}${table()}${END}${after}`;
}

function table(): string {
  const rows = PAIRS.map(({ calls: [a, b], ends, leaves }) =>
    [`\`${a}\``, `\`${b}\``, said(ends[0]), said(ends[1]), leaves.join(" or ")].join(" | "),
  );
  const head = "| one call | the other | the one | the other | the sandbox is then |\n|---|---|---|---|---|";
  return [head, ...rows.map((row) => `| ${row} |`)].join("\n");
}

function said(end: End): string {
  switch (end) {
    case "done":
      return "done";
    case "done or deleted":
      return "done or, if it came later, `VM_NOT_FOUND`";
    case "done or down":
      return "done, or an error that `isGone`";
  }
}
