import type { Home } from "../home.ts";
import { tellSupervisor } from "../supervisor/duties.ts";

/** Pools that this process keeps, by name. */
const own = new Map<string, () => void>();

/** This process keeps a pool: `fill` makes what is missing, in the background. */
export function keepPool(name: string, fill: () => void): void {
  own.set(name, fill);
}

/** It does no more. */
export function forgetPool(name: string): void {
  own.delete(name);
}

/** Has whoever keeps a pool look what is missing in it. Does not wait for that. */
export function refill(home: Home, name: string): void {
  const fill = own.get(name);
  if (fill === undefined) void tellSupervisor(home);
  else fill();
}
