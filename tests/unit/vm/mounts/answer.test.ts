import { expect, test } from "vitest";
import { figuresOf, refusal } from "../../../../src/vm/mounts/answer.ts";

test("figures have the names that users see", () => {
  const served = { guest: "/w", nodes: 3, handles: 1, requests: 9, read_bytes: 5, written_bytes: 6 };
  expect(figuresOf(served)).toEqual({
    nodes: 3,
    handles: 1,
    requests: 9,
    events: 0,
    watched: true,
    watches: 0,
    overflows: 0,
    readBytes: 5,
    writtenBytes: 6,
  });
});

test("what is refused has a code of ours, and says nothing that steers a terminal", () => {
  expect(refusal({}, "/w")).toBeUndefined();
  for (const [code, ours] of [
    [2, "MOUNT_NOT_FOUND"],
    [3, "MOUNT_FAILED"],
    [18, "VM_BUSY"],
    [1, "CONFIG_INVALID"],
    [17, "CONFIG_INVALID"],
    [10, "NOT_SUPPORTED"],
    [9, "MOUNT_FAILED"],
    [4711, "MOUNT_FAILED"],
  ] as const)
    expect(refusal({ error: { code, message: "\u001b[2J" } }, "/w")).toMatchObject({
      code: ours,
      message: expect.not.stringContaining("\u001b"),
    });
});
