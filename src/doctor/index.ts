/** The host's check-up, as the CLI and programs use it. */
export type { CheckResult, CheckStatus } from "./check.ts";
export { type RenderDoctorOptions, renderDoctor } from "./render.ts";
export { type DoctorOptions, type DoctorReport, type DoctorSummary, runDoctor } from "./run-doctor.ts";
