import { spawnSync } from "node:child_process";

/**
 * Switches output processing off on the terminal that is our stdin: a line feed then moves down and nothing else, as the
 * guest's terminal driver has already done whatever is to be done. Node's raw mode (libuv's UV_TTY_MODE_RAW) leaves it on,
 * and every line feed would get a second carriage return, which full-screen programs do not expect. Leaving raw mode
 * brings all settings back. Without stty(1) it stays on.
 */
export function switchOffOutputProcessing(): void {
  if (process.platform === "win32") return; // a console has no such setting; a stty there is another system's
  spawnSync("stty", ["-opost"], { stdio: ["inherit", "ignore", "ignore"] });
}
