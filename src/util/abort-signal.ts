/** Whether it can be listened to as an AbortSignal: jsdom, and polyfills, have a class of their own. */
export function isAbortSignal(value: unknown): value is AbortSignal {
  if (typeof value !== "object" || value === null) return false;
  const { aborted, addEventListener, removeEventListener } = value as Partial<AbortSignal>;
  return (
    typeof aborted === "boolean" &&
    typeof addEventListener === "function" &&
    typeof removeEventListener === "function"
  );
}

const OWN = new WeakMap<AbortSignal, AbortSignal>();

/** A signal of this realm that aborts with the given one: Node's own calls take no other. */
export function ownSignal(signal: AbortSignal): AbortSignal {
  if (signal instanceof AbortSignal) return signal;
  const foreign: AbortSignal = signal;
  let own = OWN.get(foreign);
  if (own === undefined) {
    const controller = new AbortController();
    own = controller.signal;
    OWN.set(foreign, own);
    const abort = (): void => controller.abort(foreign.reason);
    if (foreign.aborted) abort();
    else foreign.addEventListener("abort", abort, { once: true });
  }
  return own;
}
