import { afterEach, expect, test, vi } from "vitest";
import { tapPool, tapRefusal } from "../../../../src/host/linux/taps.ts";

afterEach(() => vi.restoreAllMocks());

test.each(["darwin", "win32"] as const)(
  "on %s there are no taps, and what to do is not a network that is not there either",
  (platform) => {
    vi.spyOn(process, "platform", "get").mockReturnValue(platform);
    expect(tapRefusal()).toEqual({
      reason: "only Linux has them",
      hint: expect.stringMatching(/^Leave qemuNetwork .*out/),
    });
    expect(tapPool()).toEqual(tapRefusal());
  },
);
