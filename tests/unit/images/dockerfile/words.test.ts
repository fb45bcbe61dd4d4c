// biome-ignore-all lint/suspicious/noTemplateCurlyInString: they are Dockerfiles
import { describe, expect, test } from "vitest";
import { readIgnore } from "../../../../src/images/dockerfile/ignore.ts";
import { parseDockerfile } from "../../../../src/images/dockerfile/parse.ts";
import { applyToState, type StageState } from "../../../../src/images/dockerfile/state.ts";
import { expandText, splitWords } from "../../../../src/images/dockerfile/words.ts";

const VALUES: Readonly<Record<string, string>> = {
  A: "a b",
  E: "",
  S: "foobarbaz",
  P: "/usr/lib/x.tar.gz",
  Q: "a?b*c?b",
  N: "b*",
};
const lookup = (name: string): string | undefined => VALUES[name];

test.for<[string, string]>([
  ["$A-${A}", "a b-a b"],
  ["$NO|${NO}", "|"],
  ["${NO:-d} ${E:-d} ${E-d} ${A:-d}", "d d  a b"],
  ["${NO:+d}${A:+yes}${E+yes}", "yesyes"],
  ["${NO:-$A}", "a b"],
  ["\\$A '$A' \"$A\"", "$A $A a b"],
  ['"a \\" b" \\x', 'a " b x'],
  ["$", "$"],
  ["a\\ b", "a b"],
  // As Docker's documentation has them.
  ["${S#f*b}", "arbaz"],
  ["${S##f*b}", "az"],
  ["${S%b*}", "foobar"],
  ["${S%%b*}", "foo"],
  ["${S/ba/fo}", "fooforbaz"],
  ["${S//ba/fo}", "fooforfoz"],
  // As bash has the rest.
  ["${P##*/} ${P%/*} ${P%%.*} ${P#*.}", "x.tar.gz /usr/lib /usr/lib/x tar.gz"],
  ["${P//\\//-}|${P/\\/usr}|${P//[a-z]}", "-usr-lib-x.tar.gz|/lib/x.tar.gz|/usr/lib/x.tar.gz"],
  ["${S/b*/X}|${S/a?/X}|${S//?/x}|${S/*/}|${S//}|${S#}", "fooX|foobXbaz|xxxxxxxxx||foobarbaz|foobarbaz"],
  ["${Q#a\\?b}|${Q#*\\*}|${Q//'?'/!}|${Q%\"?b\"}|${Q/\\*c}", "*c?b|c?b|a!b*c!b|a?b*c|a?b?b"],
  ["${S%$N}|${S/$N/$A}|${S/ba/${NO:-x}}", "foobar|fooa b|fooxrbaz"],
  ["${NO#x}|${NO//a/b}|${E%%*}|${E/*/x}", "|||x"],
  ["\"${A/ /_}\" '${A/ /_}'", "a_b ${A/ /_}"],
])("%s is expanded", ([text, expected]) => {
  expect(expandText(text, "\\", lookup)).toBe(expected);
});

test.for([
  "${A",
  "'a",
  '"a',
  "${}",
  "${A^x}",
  "${A#x",
  "${A/x/y",
  "${NO:?is needed}",
  "${A:-".repeat(100_000),
])("%s is refused", (text) => {
  expect(() => expandText(text, "\\", lookup)).toThrow();
});

test("variables in variables end before they take all memory", () => {
  const values: Record<string, string> = { A: "0123456789abcdef" };
  const again = (text: string) => () => {
    for (let line = 0; line < 100; line++) values.A = expandText(text, "\\", (name) => values[name]);
  };
  expect(again("$A$A")).toThrow("longer than 1 MiB");
  expect(again("${A//?/$A}")).toThrow("longer than 1 MiB");
  expect(values.A!.length).toBeLessThanOrEqual(2 ** 20);
});

test("words are split outside of quotes, and of variables' values", () => {
  expect(splitWords(`a "b c" d\\ e $A ''`, "\\", lookup)).toEqual(["a", "b c", "d e", "a b", ""]);
});

describe("an instruction", () => {
  const NOTHING: StageState = { config: {}, author: undefined, args: new Map([["V", "1"]]), hasCmd: false };
  const configAfter = (text: string, state = NOTHING) =>
    parseDockerfile(`FROM x\n${text}`, "Dockerfile")
      .instructions.slice(1)
      .reduce((now, instruction) => applyToState(now, instruction, "\\") ?? now, state).config;

  test.for<[string, object]>([
    ["ENV A=$V B='$V' C=\"x y\"", { Env: ["A=1", "B=$V", "C=x y"] }],
    ["ENV A=1\nENV A=2$A", { Env: ["A=21"] }],
    ["ENV A  b  c", { Env: ["A=b  c"] }],
    ['LABEL "a b"=c d=e', { Labels: { "a b": "c", d: "e" } }],
    ["EXPOSE 80 53/UDP 1-2", { ExposedPorts: { "80/tcp": {}, "53/udp": {}, "1/tcp": {}, "2/tcp": {} } }],
    ['VOLUME ["/a", "/b"]', { Volumes: { "/a": {}, "/b": {} } }],
    ["CMD a b", { Cmd: ["/bin/sh", "-c", "a b"] }],
    ['SHELL ["x"]\nCMD a', { Shell: ["x"], Cmd: ["x", "a"] }],
    ['CMD a\nENTRYPOINT ["e"]', { Cmd: ["/bin/sh", "-c", "a"], Entrypoint: ["e"] }],
    ["STOPSIGNAL SIGRTMIN+3", { StopSignal: "SIGRTMIN+3" }],
    ["HEALTHCHECK NONE", { Healthcheck: { Test: ["NONE"] } }],
    ["HEALTHCHECK --timeout=1m0.5s CMD a", { Healthcheck: { Test: ["CMD-SHELL", "a"], Timeout: 60.5e9 } }],
  ])("%s", ([text, expected]) => {
    expect(configAfter(text)).toEqual(expected);
  });

  test("ENTRYPOINT takes a command away that was there before the stage", () => {
    expect(configAfter('ENTRYPOINT ["e"]', { ...NOTHING, config: { Cmd: ["old"] } })).toEqual({
      Entrypoint: ["e"],
    });
  });

  test.for([
    "ENV A",
    "EXPOSE x",
    "SHELL x",
    "ONBUILD ONBUILD RUN x",
    "HEALTHCHECK x",
    "USER a b",
    "STOPSIGNAL SIGNONE",
    "STOPSIGNAL 0",
    "EXPOSE 1-65535 1-65535/udp",
    Array.from({ length: 1001 }, (_, index) => `ENV A${index}=x`).join("\n"),
    Array.from(
      { length: 10 },
      (_, index) => `LABEL ${`a${index}=x `.repeat(200).replace(/a\d/g, (name, at) => `${name}-${at}`)}`,
    ).join("\n"),
    Array.from({ length: 5 }, (_, index) => `ENV A${index}=${"x".repeat(60_000)}`).join("\n"),
    "ENV --x A=b",
  ])("%.40s is refused", (text) => {
    expect(() => configAfter(text)).toThrow();
  });

  test("of which there are too many is refused with its line", () => {
    expect(() => parseDockerfile("FROM x\n".repeat(10_001), "Dockerfile")).toThrow(
      "Dockerfile:10001: it has more than 10000 instructions",
    );
  });

  test("that there is not is refused with its line", () => {
    expect(() => parseDockerfile("FROM x\n\nRUNN y", "Dockerfile")).toThrow(
      "Dockerfile:3: there is no instruction RUNN",
    );
  });

  test.each([
    ["RUN <<EOF\necho\n", "EOF"],
    ["COPY <<A <<B /x/\n1\nA\n2\n", "B"],
    ["RUN <<EOF", "EOF"],
    ["RUN <<EOF\necho\n EOF\n", "EOF"],
  ])("%j has a here-document without an end, and is refused with its line", (text, name) => {
    expect(() => parseDockerfile(`FROM x\n${text}`, "Dockerfile")).toThrow(
      `Dockerfile:2: the here-document '${name}' has no end`,
    );
  });

  test("is joined over lines without what is between them; the escape character is the file's", () => {
    const text = "# escape=`\nFROM x\nRUN a `\n  # no\n\n  && b\nCOPY <<A /x\n# is content\n$V\nA\n";
    const [, run, copy] = parseDockerfile(text, "Dockerfile").instructions;
    expect(run).toMatchObject({ line: 3, text: "a   && b" });
    expect(copy!.heredocs).toMatchObject([{ name: "A", expand: true, content: "# is content\n$V\n" }]);
  });
});

test(".dockerignore leaves out what the last pattern that fits says", () => {
  const ignored = readIgnore("# not\n*.o\n/build\n**/tmp\n!build/kept\na?c\n[x-z].txt\ndir/*/end\n");
  const paths = [
    "a.o",
    "d/a.o",
    "build",
    "build/x",
    "build/kept",
    "q/tmp/x",
    "abc",
    "y.txt",
    "dir/1/end",
    "dir/1/2/end",
  ];
  expect(paths.filter(ignored)).toEqual(["a.o", "build", "build/x", "q/tmp/x", "abc", "y.txt", "dir/1/end"]);
});
