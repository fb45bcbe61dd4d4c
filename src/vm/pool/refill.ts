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

/**
 * The next one is made so long after one was taken, in ms: what that one was taken for comes first. It is a few times what a short command takes, and
 * a program that ends before has told the supervisor by then, if it removed what it took.
 */
const LATER_MS = 200;

/** Has whoever keeps a pool look what is missing in it. Does not wait for that. @param isWaited somebody waits for the next one */
export function refill(home: Home, name: string, isWaited: boolean): void {
  const look = (): void => {
    const fill = own.get(name);
    if (fill === undefined)
      tellSupervisor(home).catch(() => {}); // it looks by itself, later
    else fill();
  };
  if (isWaited) look();
  else setTimeout(look, LATER_MS).unref();
}
