import { describe, expect, test } from "vitest";
import { tierNote } from "../../../src/isolation/note.ts";
import {
  chooseIsolation,
  type IsolationFacts,
  type IsolationWants,
  type Refusal,
} from "../../../src/isolation/tier.ts";

const wants: IsolationWants = { least: "auto", readsProc: false, relayed: false };
const missing: Refusal = { reason: "bubblewrap is not installed", fix: "Install it: apt" };
const needsRoot: Refusal = { reason: "needs root" };
const noCgroups: Refusal = { reason: "no cgroup v2", fix: "Boot it with" };
const closed: Refusal = { reason: "'/disk' is closed", fix: "chmod o+rw '/disk'" };
const unprivileged = { path: "/b", monitor: "/m", userNamespace: true };
const privileged = { ...unprivileged, userNamespace: false };
const nothing: IsolationFacts = {
  user: { refusal: missing },
  ownUid: { refusal: missing },
  noLimits: undefined,
};
const ordinary: IsolationFacts = {
  user: { bubblewrap: unprivileged, proc: true },
  ownUid: { refusal: needsRoot },
  noLimits: undefined,
};
const root: IsolationFacts = { ...ordinary, ownUid: { bubblewrap: privileged, proc: true } };

describe("the tier that is reached", () => {
  test("by an ordinary user is user where bubblewrap works, and says why it is not a jail", () => {
    expect(chooseIsolation(ordinary, wants)).toEqual({
      tier: "user",
      bubblewrap: unprivileged,
      ownUid: false,
      limited: false,
      whyNotNext: needsRoot,
    });
  });

  test("is none where it does not, with the remedy", () => {
    expect(chooseIsolation(nothing, wants)).toEqual({
      tier: "none",
      ownUid: false,
      limited: false,
      whyNotNext: missing,
    });
  });

  test("is none for a VMM that needs a /proc where none can be mounted, and for one that others must reach", () => {
    const masked = { ...ordinary, user: { bubblewrap: unprivileged, proc: false } };
    expect(chooseIsolation(masked, { ...wants, readsProc: true })).toMatchObject({
      tier: "none",
      whyNotNext: { reason: expect.stringContaining("/proc") },
    });
    expect(chooseIsolation(masked, wants).tier).toBe("user");
    expect(chooseIsolation(root, { ...wants, relayed: true }).tier).toBe("none");
  });

  test("by root is jail: a uid and limits of its own", () => {
    expect(chooseIsolation(root, wants)).toEqual({
      tier: "jail",
      bubblewrap: privileged,
      ownUid: true,
      limited: true,
    });
  });

  test("by root without cgroups or a jailer is user, with a uid of its own", () => {
    expect(chooseIsolation({ ...root, noLimits: noCgroups }, wants)).toMatchObject({
      ...{ tier: "user", ownUid: true, limited: false, whyNotNext: noCgroups },
    });
    expect(chooseIsolation(root, { ...wants, noJail: missing })).toMatchObject({
      ...{ tier: "user", ownUid: true, limited: true, whyNotNext: missing },
    });
  });

  test("by root for a machine whose files are closed to other uids is user, as root without its rights", () => {
    expect(chooseIsolation(root, { ...wants, noOwnUid: closed })).toMatchObject({
      ...{ tier: "user", bubblewrap: unprivileged, ownUid: false, limited: false, whyNotNext: closed },
    });
  });
});

describe("the least that is accepted", () => {
  test.each([
    [ordinary, "user"],
    [root, "user"],
    [root, "jail"],
  ] as const)("starts with that or better", (facts, least) => {
    expect(() => chooseIsolation(facts, { ...wants, least })).not.toThrow();
  });

  test.each([
    [nothing, "user", "bubblewrap is not installed", "Install it: apt"],
    [nothing, "jail", "bubblewrap is not installed", "Install it: apt"],
    [ordinary, "jail", "needs root", "See what this host allows: smolvm doctor"],
    [{ ...root, noLimits: noCgroups }, "jail", "no cgroup v2", "Boot it with"],
  ] as const)("refuses less, with the reason and what to do", (facts, least, reason, hint) => {
    const refused = (): unknown => chooseIsolation(facts, { ...wants, least });
    expect(refused).toThrow(
      expect.objectContaining({
        code: "ISOLATION_UNAVAILABLE",
        message: expect.stringMatching(
          `^isolation '${least}' cannot be had on this host, only .*: ${reason}$`,
        ),
        hint,
      }),
    );
  });
});

test("a tier is told in words", () => {
  const note = (tier: "none" | "user" | "jail", ownUid: boolean, limited: boolean): string =>
    tierNote({ tier, ownUid, limited }, "qemu", "kvm");
  expect(note("none", false, false)).toBe("QEMU, a process of this user with a seccomp filter");
  expect(note("user", false, false)).toBe(
    "QEMU, a process of this user with a seccomp filter, in namespaces in which it sees its own files alone",
  );
  expect(note("jail", true, true)).toBe(
    "QEMU, a process with a uid of its own and a seccomp filter, in namespaces in which it sees its own files alone, with limits on memory, CPU time and processes",
  );
});
