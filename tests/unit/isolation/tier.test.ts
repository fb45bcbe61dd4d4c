import { describe, expect, test } from "vitest";
import type { LimitName } from "../../../src/config/spec.ts";
import { LIMITS } from "../../../src/isolation/limits.ts";
import { tierNote } from "../../../src/isolation/note.ts";
import { notLimited } from "../../../src/isolation/scopes.ts";
import {
  chooseIsolation,
  type IsolationFacts,
  type IsolationWants,
  plannedLimits,
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

describe("the limits of an ordinary user's VMM", () => {
  const scopes = { manager: "/run/user/1000/systemd/private", limits: LIMITS };
  const cpuMissing: Refusal = { reason: "no cpu", fix: "Delegate" };
  const some = { ...scopes, limits: ["memoryMib", "pids"], missing: cpuMissing } as const;

  test("are set by scopes of the user's systemd manager, in whatever tier", () => {
    expect(chooseIsolation({ ...ordinary, scopes }, wants)).toMatchObject({
      tier: "user",
      limited: false,
      scopes,
    });
    expect(chooseIsolation({ ...nothing, scopes }, wants)).toMatchObject({ tier: "none", scopes });
    expect(plannedLimits({ limited: false, scopes })).toEqual(["memoryMib", "cpus", "pids"]);
  });

  test("are as many as the manager can set, with the reason why not all", () => {
    const plan = chooseIsolation({ ...ordinary, scopes: some }, wants);
    expect(plan).toMatchObject({ scopes: some, whyNotLimited: cpuMissing });
    expect(plannedLimits(plan)).toEqual(["memoryMib", "pids"]);
  });

  test("are none without a manager, or with one that can limit nothing, and that is no reason to refuse a start", () => {
    const refusal: Refusal = { reason: "no manager runs", fix: "Log in" };
    for (const found of [{ refusal }, { ...scopes, limits: [], missing: refusal }]) {
      const plan = chooseIsolation({ ...ordinary, scopes: found }, { ...wants, least: "user" });
      expect(plan).toMatchObject({ tier: "user", whyNotLimited: refusal });
      expect(plan.scopes).toBeUndefined();
      expect(plannedLimits(plan)).toEqual([]);
    }
  });

  test("are not to be had for a VMM whose monitor is the one in Node", () => {
    expect(chooseIsolation({ ...ordinary, scopes }, { ...wants, relayed: true }).scopes).toBeUndefined();
  });

  test("that are missing are named with the controllers that set them, and the remedy", () => {
    expect(notLimited(LIMITS)).toBeUndefined();
    expect(notLimited(["memoryMib", "pids"])).toEqual({
      reason: "this user's systemd manager was not given the means to limit CPU time (no cpu controller)",
      fix: expect.stringMatching(/Delegate=cpu memory pids.*daemon-reload$/),
    });
    expect(notLimited([])?.reason).toContain("memory, CPU time and processes");
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
  const note = (tier: "none" | "user" | "jail", ownUid: boolean, limits: readonly LimitName[]): string =>
    tierNote({ tier, ownUid, limits }, "qemu", "kvm", { platform: "linux", hasNativeMonitor: true });
  expect(note("none", false, [])).toBe("QEMU, a process of this user with a seccomp filter");
  expect(note("user", false, [])).toBe(
    "QEMU, a process of this user with a seccomp filter, in namespaces in which it sees its own files alone",
  );
  expect(note("jail", true, LIMITS)).toBe(
    "QEMU, a process with a uid of its own and a seccomp filter, in namespaces in which it sees its own files alone, with limits on memory, CPU time and processes",
  );
  const elsewhere = (platform: NodeJS.Platform, hasNativeMonitor: boolean): string =>
    tierNote({ tier: "none", ownUid: false, limits: [] }, "qemu", "hvf", { platform, hasNativeMonitor });
  expect(elsewhere("win32", true)).toBe(
    "QEMU, a process of this user without privileges, in a job in which it starts no other process",
  );
  for (const note of [elsewhere("win32", false), elsewhere("darwin", false)])
    expect(note).toBe("QEMU, a process of this user");
});
