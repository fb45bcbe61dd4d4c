import type { TypeName } from "./bytes.ts";

/** A decoded message: names as in PROTOCOL.md, bytes as hex, absent fields left out. */
export type Message = { readonly [field: string]: Value };
export type Value = string | number | boolean | Message | readonly (string | number | Message)[];

/** A decoded frame. */
export interface VectorFrame {
  readonly stream: number;
  readonly type: TypeName;
  readonly flags: number;
  readonly payload: string;
  /** of a frame that completes a message: all of it */
  readonly message?: Message;
}

/** One golden vector (PROTOCOL.md, section 5). */
export interface Vector {
  readonly name: string;
  readonly direction: "host" | "guest";
  /** "frames": the bytes start at a frame's boundary; "session": before the MAGIC; "records": content of a channel */
  readonly layer: "frames" | "session" | "records";
  readonly bytes: string;
  readonly canonical?: true;
  /** layer "session", direction "guest": the nonce that the host awaits */
  readonly nonce?: string;
  /** layers "frames" and "session": what the bytes decode to, before the error if there is one */
  readonly frames?: readonly VectorFrame[];
  /** layer "records": which message the records are */
  readonly record?:
    | "TreeRecord"
    | "DifferenceRecord"
    | "FileInfo"
    | "FileEvent"
    | "Process"
    | "DoorConnection";
  readonly records?: readonly Message[];
  /** why the bytes are refused; for people */
  readonly error?: string;
}
