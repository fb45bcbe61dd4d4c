/** Colours, or nothing. */
export interface Paint {
  red(text: string): string;
  green(text: string): string;
  yellow(text: string): string;
  dim(text: string): string;
  bold(text: string): string;
}

/** SGR codes (ECMA-48, 8.3.117). */
const code =
  (on: number, off: number) =>
  (text: string): string =>
    `\x1b[${on}m${text}\x1b[${off}m`;
const plain = (text: string): string => text;

export const COLOURS: Paint = {
  red: code(31, 39),
  green: code(32, 39),
  yellow: code(33, 39),
  dim: code(2, 22),
  bold: code(1, 22),
};
export const PLAIN: Paint = { red: plain, green: plain, yellow: plain, dim: plain, bold: plain };

/** Whether to colour: on a terminal that can, and never against NO_COLOR (no-color.org: any value that is not empty). Pure. */
export function hasColour(isTTY: boolean, env: NodeJS.ProcessEnv): boolean {
  return isTTY && !env.NO_COLOR && env.TERM !== "dumb";
}

/** The paint for such a terminal. Pure. */
export function paintFor(isTTY: boolean, env: NodeJS.ProcessEnv): Paint {
  return hasColour(isTTY, env) ? COLOURS : PLAIN;
}
