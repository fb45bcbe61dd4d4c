import { afterEach, expect, test, vi } from "vitest";
import { supervisorUnit } from "../../../../src/vm/supervisor/manage.ts";

afterEach(() => vi.unstubAllEnvs());

test("the systemd unit names the program that stays, and the home that it is for", () => {
  vi.stubEnv("SMOLVM_HOME", '/srv/50% "of" $it');
  expect(supervisorUnit()).toMatch(
    /^ExecStart="\/.*" "--no-warnings" "\/.*supervisor\/main\.[jt]s" "--stay"$/m,
  );
  expect(supervisorUnit()).toContain('Environment="SMOLVM_HOME=/srv/50%% \\"of\\" $$it"\n');
  vi.stubEnv("SMOLVM_HOME", "");
  expect(supervisorUnit()).not.toContain("Environment");
});
