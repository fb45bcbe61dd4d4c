import { expect, test } from "vitest";
import { explainRefusal, hasAllUids } from "../../../../src/host/linux/user-namespaces.ts";

test.each([
  ["user/max_user_namespaces", "0", "sudo sysctl -w user.max_user_namespaces=15000"],
  ["kernel/unprivileged_userns_clone", "0", "sudo sysctl -w kernel.unprivileged_userns_clone=1"],
  [
    "kernel/apparmor_restrict_unprivileged_userns",
    "1",
    "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
  ],
])("user namespaces that %s = %s forbids are allowed by its opposite", (setting, value, fix) => {
  expect(explainRefusal((name) => (name === setting ? value : undefined))).toMatchObject({ setting, fix });
});

test("without such a setting nothing is claimed to be the reason", () => {
  expect(explainRefusal(() => undefined)).toMatchObject({ reason: "not available" });
  expect(explainRefusal((name) => (name.startsWith("user") ? "127000" : "1")).setting).not.toBe(
    "user/max_user_namespaces",
  );
});

test.each([
  ["the machine's own", "         0          0 4294967295\n", true],
  ["a user's root", "         0       1000          1\n", false],
  ["a rootless container's", "         0       1000          1\n         1     100000      65536\n", false],
  ["none", "", false],
])("%s map of uids", (_, map, all) => expect(hasAllUids(map)).toBe(all));
