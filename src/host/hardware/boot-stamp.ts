import { uptime } from "node:os";
import { hostBootId } from "../process/process-identity.ts";

const MINUTE_MS = 60_000;

/**
 * What stays the same until the host starts again, near enough for what is only asked again where it changes: its boot id, else the minute
 * in which it started.
 */
export function bootStamp(): string {
  const id = hostBootId();
  return id !== "" ? id : String(Math.round((Date.now() - uptime() * 1000) / MINUTE_MS));
}
