import { hangingIndent } from "../util/wrap.ts";
import type { CheckResult } from "./check.ts";
import type { DoctorReport } from "./run-doctor.ts";

export interface RenderDoctorOptions {
  /** dim the details and colour the fixes; default false */
  readonly color?: boolean;
  /** width of the terminal; default undefined: a line for each check and each fix */
  readonly columns?: number | undefined;
}

const MARKS: Readonly<Record<CheckResult["status"], string>> = { pass: "✅", warn: "⚠️ ", fail: "❌" };

/** The report as lines for people: `✅ Platform: linux`, and below what is not good the command that fixes it. Pure. */
export function renderDoctor(report: DoctorReport, options: RenderDoctorOptions = {}): string {
  const paint = (code: number, text: string): string =>
    options.color ? `\u001b[${code}m${text}\u001b[0m` : text;
  const lines = report.checks.flatMap((check) => [
    // A mark takes two columns. Fixes are left to the terminal to break: they are there to be copied.
    hangingIndent(`${MARKS[check.status]} `, `${check.name}: ${check.detail}`, options.columns, 3),
    ...(check.fix === undefined || check.status === "pass" ? [] : [`   ${paint(36, `fix: ${check.fix}`)}`]),
  ]);
  return [...lines, "", paint(report.summary.ok ? 32 : 31, summaryLine(report)), ""].join("\n");
}

function summaryLine({ summary }: DoctorReport): string {
  const { failures, warnings } = summary;
  if (failures === 0 && warnings === 0) return "Everything is ready.";
  const counts = [plural(failures, "failure"), plural(warnings, "warning")].filter((text) => text !== "");
  const verdict = summary.ok
    ? "sandboxes can run"
    : failures === 0
      ? "not ready (--strict)"
      : "not ready: fix the failures first";
  return `${counts.join(", ")}: ${verdict}.`;
}

function plural(count: number, noun: string): string {
  return count === 0 ? "" : `${count} ${noun}${count === 1 ? "" : "s"}`;
}
