import { damaged } from "./header.ts";
import { notePaxSparse, type PaxSparse } from "./sparse.ts";

/** What an extended header (POSIX, "pax Extended Header") changes about the entry behind it. */
export interface PaxFields {
  path?: Uint8Array;
  linkName?: Uint8Array;
  size?: number;
  mtimeS?: number;
  mtimeNs?: number;
  uid?: number;
  gid?: number;
  /** extended attributes, by their names on Linux; these are bytes, each as one character */
  xattrs?: Map<string, Uint8Array>;
  /** its content is stored without its holes */
  sparse?: PaxSparse;
}

const SPACE = 0x20;
const EQUALS = 0x3d;
const NEWLINE = 0x0a;
/** As star, GNU tar and Go write them. */
const XATTR = "SCHILY.xattr.";
const SPARSE = "GNU.sparse.";

/**
 * Reads the records "LENGTH KEY=VALUE\n" of an extended header; keys that do not matter here are left out. Pure.
 * @throws SmolVMError FILE_FAILED
 */
export function paxFields(records: Buffer): PaxFields {
  const fields: PaxFields = {};
  for (let at = 0; at < records.length; ) {
    const space = records.indexOf(SPACE, at);
    const digits = space < 0 ? "" : records.toString("latin1", at, space);
    const end = at + Number(digits);
    const equals = records.indexOf(EQUALS, space);
    if (
      !/^[1-9]\d{0,6}$/.test(digits) ||
      end > records.length ||
      records[end - 1] !== NEWLINE ||
      equals < 0 ||
      equals >= end
    ) {
      throw damaged("an extended header is malformed");
    }
    take(fields, records.toString("latin1", space + 1, equals), records.subarray(equals + 1, end - 1));
    at = end;
  }
  return fields;
}

/** Records of an extended header, one after the other. Pure. @param fields keys and values are bytes, keys each as one character */
export function encodePax(fields: Iterable<readonly [string, Uint8Array]>): Buffer {
  return Buffer.concat(
    [...fields].map(([key, value]) => {
      const rest = Buffer.concat([Buffer.from(` ${key}=`, "latin1"), value, Buffer.from("\n")]);
      let length = rest.length + 1;
      while (String(length).length + rest.length !== length) length++;
      return Buffer.concat([Buffer.from(String(length)), rest]);
    }),
  );
}

/** The key of an extended attribute. Pure. */
export function xattrKey(name: string): string {
  return `${XATTR}${name}`;
}

function take(fields: PaxFields, key: string, value: Buffer): void {
  if (key.startsWith(SPARSE)) {
    fields.sparse ??= {};
    notePaxSparse(fields.sparse, key.slice(SPARSE.length), value);
  } else if (key === "path") fields.path = Buffer.from(value);
  else if (key === "linkpath") fields.linkName = Buffer.from(value);
  else if (key === "size" || key === "uid" || key === "gid") fields[key] = wholeNumber(key, value);
  else if (key.startsWith(XATTR)) {
    if (value.length === 0) return; // takes back what a header for all entries has said, as POSIX has it
    fields.xattrs ??= new Map();
    fields.xattrs.set(key.slice(XATTR.length), Buffer.from(value));
  } else if (key === "mtime") {
    const found = /^(-?)(\d{1,12})(?:\.(\d*))?$/.exec(value.toString("latin1"));
    if (found === null) throw damaged("an extended header's time is no number");
    const [, minus, seconds, fraction = ""] = found;
    fields.mtimeS = minus === "-" ? 0 : Number(seconds);
    fields.mtimeNs = minus === "-" ? 0 : Number(fraction.padEnd(9, "0").slice(0, 9));
  }
}

function wholeNumber(key: string, value: Buffer): number {
  const digits = value.toString("latin1");
  if (/^\d{1,16}$/.test(digits) && Number.isSafeInteger(Number(digits))) return Number(digits);
  throw damaged(`an extended header's ${key} is no number`);
}
