import { describe, expect, test } from "vitest";
import {
  chooseIsolation,
  type IsolationFacts,
  type IsolationWants,
  type Refusal,
} from "../../../src/isolation/tier.ts";

const wants: IsolationWants = { least: "auto", readsProc: false, relayed: false };
const missing: Refusal = { reason: "bubblewrap is not installed", fix: "Install it: apt" };
const bubblewrap = { path: "/b", monitor: "/m", userNamespace: true };
const user: IsolationFacts = { user: { bubblewrap, proc: true } };
const nothing: IsolationFacts = { user: { refusal: missing } };

describe("the tier that is reached", () => {
  test("is user where bubblewrap works, and says why it is not a jail", () => {
    const { enclosure, reached } = chooseIsolation(user, wants);
    expect(enclosure).toEqual({ tier: "user", bubblewrap });
    expect(reached).toMatchObject({ tier: "user", whyNotNext: expect.any(String) });
  });

  test("is none where it does not, with the remedy", () => {
    expect(chooseIsolation(nothing, wants)).toEqual({
      enclosure: { tier: "none" },
      reached: { tier: "none", whyNotNext: missing.reason, fix: missing.fix },
    });
  });

  test("is none for a VMM that needs a /proc where none can be mounted, and for one that others must reach", () => {
    const masked = { user: { bubblewrap, proc: false } };
    expect(chooseIsolation(masked, { ...wants, readsProc: true }).reached).toMatchObject({
      tier: "none",
      whyNotNext: expect.stringContaining("/proc"),
    });
    expect(chooseIsolation(masked, wants).reached.tier).toBe("user");
    expect(chooseIsolation(user, { ...wants, relayed: true }).reached.tier).toBe("none");
  });
});

describe("the least that is accepted", () => {
  test("starts with that or better", () => {
    expect(chooseIsolation(user, { ...wants, least: "user" }).reached.tier).toBe("user");
  });

  test.each([
    [nothing, "user"],
    [nothing, "jail"],
    [user, "jail"],
  ] as const)("refuses less, with the reason and what to do", (facts, least) => {
    const refused = (): unknown => chooseIsolation(facts, { ...wants, least });
    expect(refused).toThrow(
      expect.objectContaining({
        code: "ISOLATION_UNAVAILABLE",
        message: expect.stringContaining(`isolation '${least}' cannot be had on this host, only`),
        hint: expect.any(String),
      }),
    );
  });
});
