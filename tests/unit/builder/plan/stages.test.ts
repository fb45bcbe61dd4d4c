import { describe, expect, test } from "vitest";
import { BuildArguments } from "../../../../src/builder/build-arguments.ts";
import { planStages } from "../../../../src/builder/plan/stages.ts";
import { parseDockerfile } from "../../../../src/images/dockerfile/parse.ts";

describe("stages", () => {
  const plan = (text: string, target?: string, given: Record<string, string> = {}) =>
    planStages(parseDockerfile(text, "Dockerfile"), "Dockerfile", {
      given: new Map(Object.entries(given)),
      platform: new Map([["TARGETARCH", "amd64"]]),
      target,
    });

  test("have what FROM names, arguments replaced, and the stages that they begin with", () => {
    const text =
      "ARG V=1\nARG W=$V\nFROM a:$V AS One\nFROM --platform=linux/$TARGETARCH b:$W as two\nFROM one\nRUN x";
    const { stages, target } = plan(text, undefined, { V: "2" });
    expect(stages).toMatchObject([
      { from: "a:2", name: "one", parent: undefined },
      { from: "b:2", name: "two", platform: "linux/amd64" },
      { from: "one", parent: 0, instructions: [{ keyword: "RUN" }] },
    ]);
    expect(target).toBe(2);
    expect(plan(text, "TWO").target).toBe(1);
    expect(plan(text, "0").target).toBe(0);
  });

  test("an argument is declared before FROM alone, or in a stage that is not built, and by nothing that only names it", () => {
    const given = { V: "1", UNWANTED: "2", LATE: "3", NOBODY: "4", http_proxy: "5" };
    const text = `ARG V
FROM a:$V AS one
ARG UNWANTED="x NOBODY=" OF=\${NO:?gone}
ARG "
FROM one AS two
ONBUILD ARG NOBODY
FROM b
RUN ARG NOBODY`;
    const { declared } = plan(text, undefined, given);
    const args = new BuildArguments(new Map(Object.entries(given)), declared);
    expect(args.undeclared).toEqual(["LATE", "NOBODY"]);
    expect(args.declare("LATE")).toBe("3"); // of an ONBUILD of the image
    expect(args.undeclared).toEqual(["NOBODY"]);
  });

  test.for<[string, string]>([
    ["RUN x", "comes before FROM"],
    ["ARG A=1", "has no FROM"],
    ["FROM a b", "FROM takes an image"],
    ["FROM $NO", "names no image"],
    ["FROM --x=1 a", "no option --x"],
  ])("%s is refused", ([text, what]) => {
    expect(() => plan(text)).toThrow(what);
  });

  test("a target that there is not is refused, with those that there are", () => {
    expect(() => plan("FROM a AS one\nFROM b AS two", "three")).toThrow("there are one, two");
  });
});
