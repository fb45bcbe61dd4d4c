import type { HostView } from "../../isolation/view.ts";
import type { Preload } from "../backend.ts";

/** What QEMU gets of its environment so that libraries are loaded before it; undefined: there are none. Pure. */
export function preloadEnv(preloads: readonly Preload[]): Readonly<Record<string, string>> | undefined {
  if (preloads.length === 0) return undefined;
  return Object.assign(
    { LD_PRELOAD: preloads.map(({ library }) => library).join(":") },
    ...preloads.map(({ env }) => env),
  );
}

/** What a QEMU sees of the host, with the libraries that are loaded before it. Pure. */
export function withPreloads(view: HostView, preloads: readonly Preload[]): HostView {
  const env = preloadEnv(preloads);
  if (env === undefined) return view;
  return { ...view, readOnly: [...view.readOnly, ...preloads.map(({ library }) => library)], env };
}
