import { expect, test } from "vitest";
import { explainRefusal } from "../../../../src/host/linux/user-namespaces.ts";

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
