/**
 * The crash walk on Windows: smolvm is ended by TerminateProcess at steps of its verbs (src/host/failpoint.ts), and the next commands must find
 * what it left. A sample of tests/integration/cli/crash-walk.test.ts: one place for each kind of thing that is half done then; all with SMOLVM_TEST_LONG.
 */
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import { cli } from "../../helpers/cli.ts";
import { done, states } from "../../helpers/walk.ts";
import { leavesNothing, NOTHING_LEFT, windowsLeftovers } from "../../helpers/windows-home.ts";

leavesNothing();

const LONG = (process.env.SMOLVM_TEST_LONG ?? "") !== "";
const SMALL = ["--network", "off", "--memory", "256M"];

const WALK = {
  create: ["after create:files", "before created"],
  start: [
    "before start:sockets",
    "after start:sockets",
    "before start:enclosure",
    "after start:enclosure",
    "before start:launch",
    "after start:launch",
    "before vmm",
    "before start:identity",
    "after start:identity",
    "before running",
  ],
  stop: ["before stop:machine", "after stop:machine", "before stopped"],
  rm: [
    "before delete:machine",
    "after delete:machine",
    "before delete:files",
    "after delete:files",
    "before removed",
  ],
  run: ["after start:launch", "before vmm", "before running"],
};
const SAMPLE: typeof WALK = {
  create: ["before created"],
  start: ["before vmm"],
  stop: ["after stop:machine"],
  rm: ["before delete:files"],
  run: ["before running"],
};
const places = (verb: keyof typeof WALK): string[] => (LONG ? WALK : SAMPLE)[verb];

/** Runs smolvm, and has it die at that place. Of a process that was ended so Windows says only the code. */
async function dieAt(failpoint: string, args: readonly string[]): Promise<void> {
  const { code, text, stderr } = await cli(args, { env: { SMOLVM_FAILPOINT: failpoint } });
  expect({ code, text }, `${args.join(" ")} at ${failpoint}: ${stderr}`).toEqual({ code: 1, text: "" });
  expect(stderr).not.toContain("rror");
}

beforeEach(async () => {
  await cli(["rm", "-f", "box"]);
});
afterAll(async () => {
  await cli(["rm", "--all", "-f"]);
});

describe("smolvm that is ended", () => {
  test.each(places("create"))("while creating, at '%s', leaves no sandbox", async (failpoint) => {
    await dieAt(failpoint, ["create", "--name", "box", ...SMALL]);
    expect(await states()).toEqual({});
    await done(["gc"]);
    expect(windowsLeftovers()).toEqual(NOTHING_LEFT);
  });

  test.each(places("start"))("while starting, at '%s', leaves one that can be started", async (failpoint) => {
    await done(["create", "--name", "box", ...SMALL]);
    await dieAt(failpoint, ["start", "box"]);
    expect(await states()).toEqual({ box: "error" });
    expect(windowsLeftovers().processes).toEqual([]);
    await done(["start", "box"]);
    expect((await done(["exec", "box", "--", "echo", "up"])).text).toBe("up\n");
    await done(["rm", "-f", "box"]);
    expect(windowsLeftovers()).toEqual(NOTHING_LEFT);
  });

  test.each(places("stop"))(
    "while stopping, at '%s', leaves one that is stopped, with its files",
    async (failpoint) => {
      await done(["create", "--name", "box", "--start", ...SMALL]);
      await done(["exec", "box", "--", "sh", "-c", "echo mine > /root/mine"]);
      await dieAt(failpoint, ["stop", "box"]);
      expect(await states()).toEqual({ box: "stopped" });
      await done(["start", "box"]);
      expect((await done(["exec", "box", "--", "cat", "/root/mine"])).text).toBe("mine\n");
      await done(["rm", "-f", "box"]);
    },
  );

  test.each(places("rm"))("while removing, at '%s', has it removed", async (failpoint) => {
    await done(["create", "--name", "box", "--start", ...SMALL]);
    await dieAt(failpoint, ["rm", "-f", "box"]);
    expect(await states()).toEqual({});
    expect(windowsLeftovers()).toEqual(NOTHING_LEFT);
  });

  test.each(places("run"))(
    "while running something once, at '%s', takes its machine with it",
    async (failpoint) => {
      await dieAt(failpoint, ["run", ...SMALL, "--", "true"]);
      await done(["gc"]);
      expect(await states()).toEqual({});
      expect(windowsLeftovers()).toEqual(NOTHING_LEFT);
    },
  );
});
