/** What something that was thrown says. Not by `instanceof`: in jest's environments Node's own errors are of another realm. */
export function messageOf(thrown: unknown): string {
  const message = (thrown as { message?: unknown } | null | undefined)?.message;
  return typeof message === "string" ? message : String(thrown);
}
