import { expect, test } from "vitest";
import { supervisorUnit } from "../../../../src/vm/supervisor/manage.ts";

test("the systemd unit names the program that stays, and the home and the programs that it is for", () => {
  const env = {
    SMOLVM_HOME: '/srv/50% "of" $it',
    PATH: "/opt/qemu/bin:/bin",
    XDG_DATA_HOME: "/d",
    HOME: "/h",
    SMOLVM_QEMU: "",
  };
  const unit = supervisorUnit(env);
  expect(unit).toMatch(/^ExecStart="\/.*" "--no-warnings" "\/.*supervisor\/main\.[jt]s" "--stay"$/m);
  expect(unit.split("\n").filter((line) => line.startsWith("Environment"))).toEqual([
    'Environment="PATH=/opt/qemu/bin:/bin"',
    'Environment="SMOLVM_HOME=/srv/50%% \\"of\\" $it"', // systemd expands no variables there
    'Environment="XDG_DATA_HOME=/d"',
  ]);
  expect(supervisorUnit({ SMOLVM_SUPERVISOR: "off", SMOLVM_FAILPOINT: "x" })).not.toContain("Environment");
});
