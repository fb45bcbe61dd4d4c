import { expect, test } from "vitest";
import { runCommand } from "../../../../src/builder/steps/run-command.ts";
import { parseDockerfile } from "../../../../src/images/dockerfile/parse.ts";

const STATE = { config: {}, author: undefined, args: new Map(), hasCmd: false };

test.for<[string, object]>([
  [
    "RUN make test",
    { command: ["/bin/sh", "-c", "make test"], script: undefined, createdBy: "RUN /bin/sh -c make test" },
  ],
  ['RUN ["make", "test"]', { command: ["make", "test"], createdBy: 'RUN ["make", "test"]' }],
  [
    "RUN <<EOF\nmake\ntest\nEOF",
    { command: ["/bin/sh", "-c", "make\ntest\n"], script: undefined, createdBy: "RUN /bin/sh -c make\ntest" },
  ],
  ["RUN cat <<A\na\nA", { command: ["/bin/sh", "-c", "cat <<A\na\nA"], script: undefined }],
  ["RUN <<A\n#!/usr/bin/env python3\nA", { script: "#!/usr/bin/env python3\n" }],
  ["RUN sh <<A\n#!/bin/sh\nA", { script: undefined }],
])("%j", ([text, expected]) => {
  const { instructions } = parseDockerfile(`FROM scratch\n${text}\n`, "Dockerfile");
  expect(runCommand(STATE, instructions[1]!)).toMatchObject(expected);
});

test("the shell is the one that SHELL says", () => {
  const { instructions } = parseDockerfile("FROM scratch\nRUN dir\n", "Dockerfile");
  const state = { ...STATE, config: { Shell: ["/bin/bash", "-c"] } };
  expect(runCommand(state, instructions[1]!)).toMatchObject({
    command: ["/bin/bash", "-c", "dir"],
    createdBy: "RUN /bin/bash -c dir",
  });
});
