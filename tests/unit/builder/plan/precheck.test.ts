import { describe, expect, test } from "vitest";
import { checkPlan, namedSources } from "../../../../src/builder/plan/precheck.ts";
import { planStages } from "../../../../src/builder/plan/stages.ts";
import { parseDockerfile } from "../../../../src/images/dockerfile/parse.ts";

const NONE: ReadonlyMap<string, string> = new Map();

function check(text: string, target?: string): void {
  const parsed = parseDockerfile(text, "Dockerfile");
  const plan = planStages(parsed, "Dockerfile", {
    given: NONE,
    platform: NONE,
    target,
  });
  checkPlan(plan);
}

describe("what no step can be carried out with", () => {
  test.each([
    ["RUN --mount=type=ssh true", "there is no mount of type ssh"],
    ["RUN --mount=type=cache,from=x,target=/y true", "a cache mount does not take from"],
    ["RUN --mount=type=bind true", "a bind mount takes target=PATH"],
    ["RUN --network=host true", "RUN --network=host is not supported"],
    ["RUN --security=insecure true", "RUN --security=insecure is not supported"],
    ["COPY --unpack a /x", "COPY --unpack is not supported"],
    ["COPY --chown a /x", "COPY --chown is not supported"],
    ["ADD --from=x a /x", "ADD --from=x is not supported"],
    ["STOPSIGNAL SIGNONE", "'SIGNONE' is no signal: give a name, as SIGTERM, or a number from 1 to 64"],
    ["EXPOSE 70000", "'70000' is no port"],
    ["HEALTHCHECK --interval=soon CMD true", "'soon' is no time, as 30s or 1m30s"],
    ['ENV A="b', 'a " is not closed'],
  ])("%s is refused with its line, before anything is carried out", (line, message) => {
    expect(() => check(`FROM scratch\n${line}\n`)).toThrow(
      expect.objectContaining({ code: "DOCKERFILE_INVALID", message: `Dockerfile:2: ${message}` }),
    );
  });

  test("more stages than can need each other are refused with their line", () => {
    const chain = Array.from(
      { length: 501 },
      (_, index) => `FROM ${index === 0 ? "x" : `a${index - 1}`} AS a${index}`,
    );
    expect(() => check(chain.join("\n"))).toThrow("Dockerfile:501: it has more than 500 stages");
  });

  test("names of the context are known before, and nothing else is", () => {
    const parsed = parseDockerfile(
      `FROM scratch AS unwanted
COPY not /x
FROM scratch
COPY a b/c ../d /x/
COPY ["e f", "g*", "/x/"]
COPY $A h /x/
COPY --from=0 i /x
COPY --chown=1 --parents j/./k /x/
ADD https://127.0.0.1/l m.tar git@127.0.0.1:n/o /x/
COPY <<A p /x/
A
`,
      "Dockerfile",
    );
    const plan = planStages(parsed, "Dockerfile", { given: NONE, platform: NONE, target: undefined });
    const unnamed = {
      ...plan,
      stages: plan.stages.map((stage) => ({
        ...stage,
        instructions: stage.instructions.filter(({ text }) => !text.startsWith("i ")),
      })),
    };
    const sources = (of: typeof plan) => namedSources(of).map(({ line, source }) => `${line} ${source}`);
    expect(sources(unnamed)).toEqual(["4 a", "4 b/c", "4 ../d", "5 e f", "9 m.tar"]);
    expect(sources(plan)).toContain("2 not");
  });

  test("a platform that there is not is refused with its line", () => {
    expect(() => check("FROM scratch AS a\nFROM --platform=windows/amd64 x\nRUN true\n")).toThrow(
      expect.objectContaining({
        code: "DOCKERFILE_INVALID",
        message: "Dockerfile:2: there is no platform 'windows/amd64'",
        hint: "Give linux/amd64 or linux/arm64.",
      }),
    );
  });

  test("is looked for in the stages that are wanted, and only there", () => {
    const text = `FROM scratch AS broken
RUN --network=host true
FROM scratch AS mounted
RUN --mount=from=broken,target=/x true
FROM scratch AS copied
COPY --from=0 /a /a
FROM broken AS above
FROM scratch AS fine
COPY --from=other --chown=$WHO --chmod=$MODE --link --parents --exclude=a /a /b
STOPSIGNAL $SIGNAL
EXPOSE $PORT
ADD --checksum=$SUM --unpack=false a /b
RUN --mount=type=$TYPE,target=/x --network=$NETWORK --mount=type=tmpfs,target=/y true
`;
    for (const target of ["broken", "mounted", "copied", "above"])
      expect(() => check(text, target), target).toThrow("Dockerfile:2: RUN --network=host");
    check(text, "fine");
    check(text);
  });
});
