import { describe, expect, test } from "vitest";
import { parseMount } from "../../../../src/builder/plan/mounts.ts";
import { inImage, planStages } from "../../../../src/builder/plan/stages.ts";
import { parseDockerfile } from "../../../../src/images/dockerfile/parse.ts";

test.for<[string, object]>([
  [
    "type=cache,target=/c",
    { type: "cache", id: "/c", target: "/c", readOnly: false, mode: 0o755, uid: 0, gid: 0 },
  ],
  [
    "type=cache,id=x,dst=rel,ro,sharing=locked,mode=700,uid=5",
    { id: "x", target: "/w/rel", readOnly: true, mode: 0o700, uid: 5 },
  ],
  ["target=/c", { type: "bind", from: undefined, source: "/", target: "/c", readOnly: true }],
  ["type=bind,from=a,src=/x,target=/c,rw", { from: "a", source: "/x", readOnly: false }],
  [
    "type=secret,id=k",
    { type: "secret", target: "/run/secrets/k", env: undefined, required: false, mode: 0o400 },
  ],
  ["type=secret,id=k,env=K,required", { target: undefined, env: "K", required: true }],
  ["type=tmpfs,target=/t,size=64m", { type: "tmpfs", size: 64 * 2 ** 20 }],
])("--mount=%s", ([text, expected]) => {
  expect(parseMount(text, "/w")).toMatchObject(expected);
});

test.for([
  "type=ssh",
  "type=cache",
  "type=cache,target=/",
  "type=cache,target=/c,from=a",
  "type=cache,target=/c,sharing=x",
  "type=secret",
  "type=tmpfs,target=/t,size=x",
  "type=bind,target=/c,nothing",
  "type=cache,target=/c,uid=x",
])("--mount=%s is refused", (text) => {
  expect(() => parseMount(text, "/w")).toThrow();
});

test.for<[string | undefined, string, string]>([
  [undefined, "a", "/a"],
  ["/w", "a/", "/w/a/"],
  ["/w", ".", "/w/"],
  ["/w", "./", "/w/"],
  ["/w", "/a", "/a"],
  ["/w", "../a", "/a"],
])("in %s the path %s is %s", ([workdir, path, expected]) => {
  expect(inImage(workdir, path)).toBe(expected);
});

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
