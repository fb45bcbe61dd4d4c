import { createContext, runInContext, runInThisContext } from "node:vm";
import { expect, test } from "vitest";
import { isAbortSignal, ownSignal } from "../../../src/util/abort-signal.ts";
import { bytesOf, contentOf, kindOf } from "../../../src/util/bytes.ts";
import { messageOf } from "../../../src/util/message-of.ts";

const CONTEXT = createContext({});

test.each([
  ["a Uint8Array", "new Uint8Array([1, 2, 3, 4]).subarray(1, 3)", [2, 3]],
  ["a DataView", "new DataView(new Uint8Array([1, 2, 3]).buffer, 1)", [2, 3]],
  ["an ArrayBuffer", "new Uint8Array([1, 2]).buffer", [1, 2]],
  ["a Uint16Array", "new Uint16Array([0x0201])", [1, 2]],
])("%s of another realm is the bytes that it is here", (_name, source, bytes) => {
  const foreign = runInContext(source, CONTEXT);
  expect(foreign instanceof Uint8Array || foreign instanceof ArrayBuffer).toBe(false);
  expect([...bytesOf(foreign)!]).toEqual(bytes);
  expect([...contentOf(foreign)!]).toEqual(bytes);
  expect([...bytesOf(runInThisContext(source))!]).toEqual(bytes);
});

test("what holds no bytes is none, and is called what it is", () => {
  for (const value of [null, undefined, 5, {}, [1], { length: 1 }]) expect(contentOf(value)).toBeUndefined();
  expect(bytesOf("text")).toBeUndefined();
  expect(contentOf("ü")).toEqual(Buffer.from("ü"));
  expect([null, undefined, 5, {}, "s"].map(kindOf)).toEqual([
    "null",
    "undefined",
    "a number",
    "an object",
    "a string",
  ]);
});

test("an error of another realm says what it says", () => {
  expect(messageOf(runInContext("new TypeError('foreign')", CONTEXT))).toBe("foreign");
  expect(messageOf("text")).toBe("text");
  expect(messageOf(undefined)).toBe("undefined");
});

/** As jsdom's: another class, with the methods of the standard. */
class ForeignSignal extends EventTarget {
  aborted = false;
  reason: unknown;
  abort(reason: unknown): void {
    this.aborted = true;
    this.reason = reason;
    this.dispatchEvent(new Event("abort"));
  }
}

test("a signal of another class is one, and Node's own calls get one of theirs", () => {
  const foreign = new ForeignSignal();
  expect(isAbortSignal(foreign)).toBe(true);
  expect(isAbortSignal({ aborted: false })).toBe(false);
  expect(isAbortSignal(null)).toBe(false);
  const own = ownSignal(foreign as unknown as AbortSignal);
  expect(own).toBeInstanceOf(AbortSignal);
  expect(ownSignal(foreign as unknown as AbortSignal)).toBe(own);
  foreign.abort("enough");
  expect([own.aborted, own.reason]).toEqual([true, "enough"]);
  const late = new ForeignSignal();
  late.abort("before");
  expect(ownSignal(late as unknown as AbortSignal).reason).toBe("before");
});
