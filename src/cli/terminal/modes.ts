/**
 * Terminal modes that a program switches on and must switch off again, with what switches them back
 * (xterm's control sequences: invisible-island.net/xterm/ctlseqs, "DEC Private Mode").
 */
const UNDO_OF_SET: Readonly<Record<number, string>> = {
  1: "\x1b[?1l", // application cursor keys
  47: "\x1b[?47l", // alternate screens
  1047: "\x1b[?1047l",
  1049: "\x1b[?1049l",
  9: "\x1b[?9l", // mouse reports
  1000: "\x1b[?1000l",
  1002: "\x1b[?1002l",
  1003: "\x1b[?1003l",
  1004: "\x1b[?1004l", // focus reports
  1005: "\x1b[?1005l",
  1006: "\x1b[?1006l",
  1015: "\x1b[?1015l",
  2004: "\x1b[?2004l", // bracketed paste
};
const UNDO_OF_RESET: Readonly<Record<number, string>> = {
  7: "\x1b[?7h", // line wrap
  25: "\x1b[?25h", // the cursor
};
/** A mode sequence is short; of anything longer than this nothing is kept. */
const MAX_PENDING = 32;

/**
 * Follows which modes the output of a guest's program left changed, so that a session that is cut off in the middle
 * of an editor does not leave the user's terminal in its alternate screen without a cursor. Pure; bounded.
 */
export class TerminalModes {
  readonly #undo = new Map<number, string>();
  #pending = "";

  /** Reads output on its way to the terminal; sequences may be split anywhere. */
  saw(output: Uint8Array): void {
    const text =
      this.#pending + Buffer.from(output.buffer, output.byteOffset, output.byteLength).toString("latin1");
    for (const [, modes, final] of text.matchAll(/\x1b\[\?([0-9;]{1,24})([hl])/g)) {
      for (const mode of modes!.split(";").map(Number)) this.#set(mode, final === "h");
    }
    const last = text.lastIndexOf("\x1b");
    const tail = last < 0 ? "" : text.slice(last);
    this.#pending = tail.length <= MAX_PENDING && /^\x1b(?:\[(?:\?[0-9;]*)?)?$/.test(tail) ? tail : "";
  }

  /** What to write to put everything back; empty when nothing was left changed. */
  undo(): string {
    return [...this.#undo.values()].join("");
  }

  #set(mode: number, on: boolean): void {
    const undo = (on ? UNDO_OF_SET : UNDO_OF_RESET)[mode];
    if (undo !== undefined) this.#undo.set(mode, undo);
    else this.#undo.delete(mode);
  }
}
