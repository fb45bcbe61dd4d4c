import { createHash } from "node:crypto";
import { encodeEntry, padding } from "../../util/tar/header.ts";
import { changed } from "../plan/chmod.ts";
import type { AddedFile } from "./added-file.ts";

/** A text as a file. */
export function textFile(called: string, content: string | Uint8Array): AddedFile {
  const bytes = Buffer.from(content);
  return {
    isOneFile: true,
    digest: async () => `text ${called} ${createHash("sha256").update(bytes).digest("hex")}`,
    async *tar({ uid, gid, mode, name = called }) {
      const header = {
        mode: changed(mode, 0o644, false),
        uid,
        gid,
        size: bytes.length,
        mtime: 0,
        type: "0",
        linkName: Buffer.alloc(0),
      };
      yield Buffer.concat([
        encodeEntry({ ...header, name: Buffer.from(name) }),
        bytes,
        Buffer.alloc(padding(bytes.length) + 1024),
      ]);
    },
    close: async () => {},
  };
}
