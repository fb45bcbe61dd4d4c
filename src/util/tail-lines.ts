/** The last `count` lines of a text as they are; one without a newline at its end counts. Pure. */
export function tailLines(text: string, count: number): string {
  const lines = text.split("\n");
  const end = lines.at(-1) === "" ? lines.length - 1 : lines.length;
  return lines.slice(Math.max(0, end - count)).join("\n");
}
