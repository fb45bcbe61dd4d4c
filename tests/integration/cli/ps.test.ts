import { afterAll, beforeAll, expect, test } from "vitest";
import { cli, cliJson, createBox } from "../../helpers/cli.ts";
import { useTempHome } from "../../helpers/home.ts";

useTempHome();

beforeAll(() => createBox("box"));
afterAll(async () => {
  await cli(["rm", "-f", "box"]);
});

test("what commands left in the background is listed by ps and ended by kill", async () => {
  expect((await cli(["ps", "-q", "box"])).text).toBe("");
  await cli(["exec", "box", "--", "sh", "-c", "setsid sleep 1000 & sleep 1001 &"]);
  const listed = await cli(["ps", "box"]);
  expect(listed.text).toMatch(
    /^ID +STATE +PROCESSES .*\n *\d+ +exit 0 +2 +\d+s ago +root +sh -c setsid sleep 1000/,
  );
  const { data } = await cliJson(["ps", "box"]);
  expect(data).toMatchObject([{ running: false, processes: 2, exitCode: 0 }]);
  const id = String(data[0].id);
  expect((await cli(["ps", "-q", "box"])).text).toBe(`${id}\n`);

  expect(await cli(["kill", "box", id])).toMatchObject({ code: 0, text: "", stderr: "" });
  expect((await cli(["ps", "-q", "box"])).text).toBe("");
  const gone = await cli(["kill", "box", id]);
  expect(gone).toMatchObject({ code: 1, stderr: expect.stringContaining(`smolvm ps`) });
});

test("ps and kill say what they need", async () => {
  expect(await cli(["ps"])).toMatchObject({ code: 2, stderr: expect.stringContaining("smolvm ls") });
  expect(await cli(["kill", "box", "make"])).toMatchObject({
    code: 2,
    stderr: expect.stringContaining("hint: See them: smolvm ps box"),
  });
  expect(await cli(["kill", "-s", "NOPE", "box", "1"])).toMatchObject({
    code: 2,
    stderr: expect.stringContaining("is not a signal"),
  });
});
