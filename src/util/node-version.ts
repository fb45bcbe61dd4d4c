import { isOlder } from "./versions.ts";

// This file and what it imports must run on any Node, to be able to say that it is too old: nothing that Node 12 does not know.

/** Oldest version of Node that has what smolvm uses (native TypeScript, node:sqlite, zstd); `engines` of package.json. */
export const OLDEST_NODE: string = "22.18";

/** Whether a version of Node is one that smolvm runs on. Pure. */
export function isNodeSupported(version: string): boolean {
  return !isOlder(version, OLDEST_NODE);
}

/**
 * Says in one sentence what else would be a missing module or a syntax error deep inside.
 * @param run what would run the same with a newer one
 * @returns undefined: this Node is new enough
 */
export function refuseNode(run: string): { readonly message: string; readonly hint: string } | undefined {
  const { node } = process.versions;
  if (isNodeSupported(node)) return undefined;
  return {
    message: `smolvm needs Node.js ${OLDEST_NODE} or newer; this is ${node} (${process.execPath})`,
    hint: `Install a current Node.js from https://nodejs.org or with your package manager, or run: ${run}`,
  };
}
