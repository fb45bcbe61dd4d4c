import { describe, expect, test } from "vitest";
import { guestError } from "../../../../src/agent/session/guest-error.ts";
import { interruptedError } from "../../../../src/agent/session/session-end.ts";
import { type GuestError, GuestErrorCode, Process } from "../../../../src/agent/wire/messages.ts";
import { decode } from "../../../../src/agent/wire/schema.ts";
import { ERROR_CODES } from "../../../../src/errors.ts";

const said = (code: number, errno: number): GuestError => ({
  code,
  message: "",
  errno,
  noInodes: false,
  inMemory: false,
  holders: [],
});

describe("a guest's error", () => {
  test.each([
    ["file", "NOT_FOUND", "FILE_NOT_FOUND"],
    ["exec", "NOT_FOUND", "COMMAND_NOT_FOUND"],
    ["process", "NOT_FOUND", "PROCESS_NOT_FOUND"],
    ["hold", "NOT_FOUND", "VM_STATE"],
    ["exec", "BAD_CWD", "FILE_NOT_FOUND"],
    ["exec", "NOT_EXECUTABLE", "COMMAND_NOT_EXECUTABLE"],
    ["exec", "TOO_LONG", "ARGUMENTS_TOO_LONG"],
    ["exec", "NO_USER", "CONFIG_INVALID"],
    ["file", "EXISTS", "FILE_EXISTS"],
    ["file", "IS_DIRECTORY", "FILE_TYPE"],
    ["file", "NOT_DIRECTORY", "FILE_TYPE"],
    ["file", "PERMISSION", "FILE_PERMISSION"],
    ["forward", "REFUSED", "CONNECTION_REFUSED"],
    ["forward", "RESET", "CONNECTION_RESET"],
    ["file", "CROSS_DEVICE", "FILE_CROSS_DEVICE"],
    ["machine", "IO", "FILE_FAILED"],
  ] as const)("of a %s that says %s is %s", (context, code, expected) => {
    expect(guestError(said(GuestErrorCode[code], 2), context, "doing it")).toMatchObject({
      code: expected,
      message: expect.stringMatching(/^doing it failed: /),
      details: { errno: "ENOENT" },
    });
  });

  test("has a meaning for every code, and for those from the future", () => {
    for (const code of [...Object.values(GuestErrorCode), 0, 4711]) {
      expect(ERROR_CODES).toHaveProperty(guestError(said(code, 0), "file", "it").code);
    }
  });

  test("has the name of the kernel's error, which is Linux's on any host, and whose it is", () => {
    const names = [0, 13, 17, 20, 21, 39, 40, 117, 4000].map(
      (errno) => guestError(said(GuestErrorCode.IO, errno), "file", "it").details.errno,
    );
    const expected = ["EACCES", "EEXIST", "ENOTDIR", "EISDIR", "ENOTEMPTY", "ELOOP", "EUCLEAN", "E4000"];
    expect(names).toEqual([undefined, ...expected]);
    expect(guestError(said(GuestErrorCode.IO, 5), "file", "it").details.side).toBe("guest");
    expect(guestError(said(GuestErrorCode.IO, 5), "exec", "it").details).not.toHaveProperty("side");
  });

  test("of a command for which there is no process left names who has them and how to end it, escaped and cut", () => {
    const holder = (process: number, argv: string) => ({
      ...decode(Process, Buffer.alloc(0)),
      process,
      argv: [Buffer.from(argv)],
      processes: 690,
    });
    const holders = [holder(3, "\u001b[2J"), holder(4, "x".repeat(500)), holder(5, "c"), holder(6, "d")];
    const error = guestError({ ...said(GuestErrorCode.LIMIT, 11), holders }, "exec", "running 'true'");
    expect(error).toMatchObject({
      code: "VM_BUSY",
      hint: expect.stringContaining("smolvm kill NAME 3"),
      details: { errno: "EAGAIN", holders: [{ id: 3, processes: 690 }, { id: 4 }, { id: 5, argv: ["c"] }] },
    });
    expect(error.message).toContain("690 of command 3 ('\\x1b[2J')");
    expect(error.message.length).toBeLessThan(400);
  });

  test("of a full disk says that it is the sandbox's, and how to get a larger one", () => {
    const full = { ...said(GuestErrorCode.NO_SPACE, 28), message: "write" };
    const error = guestError(full, "file", "writing '/a'");
    expect(error.message).toBe("writing '/a' failed: the sandbox's disk is full (write)");
    expect(error.hint).toMatch(/diskSizeMib/);
  });

  test("of a full file system says which of space and inodes is used up, and of which", () => {
    const full = said(GuestErrorCode.NO_SPACE, 28);
    const told = [
      { ...full, noInodes: true },
      { ...full, inMemory: true },
      { ...full, noInodes: true, inMemory: true },
    ].map((error) => guestError(error, "file", "writing '/a'"));
    expect(told.map(({ code }) => code)).toEqual(["NO_SPACE", "NO_SPACE", "NO_SPACE"]);
    expect(told.map(({ message }) => message.replace("writing '/a' failed: ", ""))).toEqual([
      "the sandbox's disk has no room for more files (its inodes are used up)",
      "the file system there, which is in the sandbox's memory, is full",
      "the file system there, which is in the sandbox's memory, has no room for more files (its inodes are used up)",
    ]);
    expect(told.map(({ hint }) => /diskSizeMib|memSizeMib/.exec(hint ?? "")?.[0])).toEqual([
      "diskSizeMib",
      "memSizeMib",
      "memSizeMib",
    ]);
  });

  test("blames the disk for what disks do, and not for other errors without a code of their own", () => {
    const [broken, other] = [5, 27].map((errno) => guestError(said(GuestErrorCode.IO, errno), "file", "it"));
    expect(broken).toMatchObject({ code: "FILE_FAILED", hint: expect.stringContaining("disk") });
    expect(other).toMatchObject({ code: "FILE_FAILED", hint: expect.not.stringContaining("disk") });
    expect(other?.message).not.toMatch(/input or output/);
  });
});

describe("a request that its session's end cut off", () => {
  const end = { reason: "lost", message: "the channel to the guest ended", cause: undefined } as const;
  const request = { what: "writing '/a'", dispatched: true, effects: true };

  test("may have happened if it was sent and changes something", () => {
    expect(interruptedError(end, request)).toMatchObject({
      code: "OUTCOME_UNKNOWN",
      message:
        "writing '/a' may or may not have happened: the channel to the guest ended before the guest answered",
      hint: expect.stringMatching(/smolvm logs/),
    });
  });

  test("has not happened if it was not sent, and does not matter if it only reads", () => {
    expect(interruptedError(end, { ...request, dispatched: false }).code).toBe("AGENT_LOST");
    expect(interruptedError(end, { ...request, effects: false }).code).toBe("AGENT_LOST");
  });

  test("is a protocol error if the guest broke the protocol", () => {
    expect(interruptedError({ ...end, reason: "protocol" }, request).code).toBe("AGENT_PROTOCOL");
  });
});
