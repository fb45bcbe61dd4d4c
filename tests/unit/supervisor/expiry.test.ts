import { describe, expect, test } from "vitest";
import { nextExpiryMs } from "../../../src/supervisor/expiry.ts";

const owner = { pid: 1, startTime: "1", bootId: "b" };

describe("the wait for the next end of a time to live", () => {
  test("is until the earliest of the detached sandboxes", () => {
    const records = [
      { expiresAt: 9_000, owner: undefined },
      { expiresAt: 7_000, owner: undefined },
      { expiresAt: 1_000, owner },
      { expiresAt: undefined, owner: undefined },
    ];
    expect(nextExpiryMs(records, 5_000)).toBe(2_000);
  });

  test("is none at all when it is over, and none when nothing ends", () => {
    expect(nextExpiryMs([{ expiresAt: 4_000, owner: undefined }], 5_000)).toBe(0);
    expect(nextExpiryMs([{ expiresAt: undefined, owner: undefined }], 5_000)).toBeUndefined();
    expect(nextExpiryMs([{ expiresAt: 6_000, owner }], 5_000)).toBeUndefined();
  });

  test("is cut, so that a host that slept or set its clock is noticed", () => {
    expect(nextExpiryMs([{ expiresAt: 10 ** 12, owner: undefined }], 0)).toBe(30_000);
  });
});
