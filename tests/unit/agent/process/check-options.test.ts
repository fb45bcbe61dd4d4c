import { expect, test } from "vitest";
import { checkContent } from "../../../../src/agent/files/content.ts";
import {
  checkAttachOptions,
  checkKillOptions,
  checkRunOptions,
  checkSpawnOptions,
} from "../../../../src/agent/process/check-options.ts";
import { checkProcessId } from "../../../../src/agent/process/process-list.ts";

const refused = (message: string, hint?: string): object =>
  expect.objectContaining({ code: "CONFIG_INVALID", message, ...(hint === undefined ? {} : { hint }) });

test("an option that run does not know is refused, because it would be ignored", () => {
  expect(() => checkRunOptions({ timeout: 5000 } as never)).toThrow(
    refused("unknown option 'timeout'", "Did you mean 'timeoutMs'?"),
  );
  expect(() => checkRunOptions({ pty: { cols: 1, rows: 1 } } as never)).toThrow(
    refused("unknown option 'pty'"),
  );
  expect(() => checkSpawnOptions({ check: true } as never)).toThrow(refused("unknown option 'check'"));
  expect(() => checkRunOptions(null as never)).toThrow(refused("options: is not an object"));
});

test.each([["5000"], [-1], [Number.NaN], [null]])("a limit of %j is refused", (timeoutMs) => {
  expect(() => checkRunOptions({ timeoutMs } as never)).toThrow(
    expect.objectContaining({
      message: expect.stringMatching(/^timeoutMs: .* is not a time in milliseconds$/),
    }),
  );
});

test("what feeds and takes streams is looked at before anything runs", () => {
  expect(() => checkRunOptions({ stdin: 5 } as never)).toThrow(
    refused("stdin: is neither a string, nor bytes, nor a stream or async iterable of them"),
  );
  expect(() => checkRunOptions({ onStdout: "log" } as never)).toThrow(refused("onStdout: is not a function"));
  expect(() => checkSpawnOptions({ stdin: "inherit" } as never)).toThrow(
    refused('stdin: is neither "pipe" nor "ignore"'),
  );
  expect(() => checkRunOptions({ signal: 5 } as never)).toThrow(refused("signal: is not an AbortSignal"));
  expect(() => checkContent(5)).toThrow(expect.objectContaining({ code: "CONFIG_INVALID" }));
  expect(() => checkContent(undefined)).toThrow(expect.objectContaining({ code: "CONFIG_INVALID" }));
});

test("what limits do is one of the words that there are, and keeping nothing of what is not captured is refused", () => {
  expect(() => checkRunOptions({ ifStopped: "reject" } as never)).toThrow(
    refused('ifStopped: is neither "throw" nor "result"'),
  );
  expect(() => checkSpawnOptions({ ifStopped: true } as never)).toThrow(
    refused('ifStopped: is neither "throw" nor "result"'),
  );
  expect(() => checkRunOptions({ overflow: "last" } as never)).toThrow(
    refused('overflow: is neither "stop" nor "keepFirst" nor "keepLast"'),
  );
  expect(() => checkRunOptions({ overflow: "keepLast", capture: false })).toThrow(
    refused('overflow: "keepLast" keeps output, and with capture: false none is kept'),
  );
  expect(() => checkRunOptions({ maxOutputBytes: "1k" } as never)).toThrow(
    refused('maxOutputBytes: "1k" is not a number of bytes'),
  );
  expect(() => checkAttachOptions({ stdin: "pipe" } as never)).toThrow(refused("unknown option 'stdin'"));
  expect(() => checkKillOptions({ trees: true } as never)).toThrow(
    refused("unknown option 'trees'", "Did you mean 'tree'?"),
  );
});

test("what is right passes", () => {
  checkRunOptions({ timeoutMs: Number.POSITIVE_INFINITY, signal: AbortSignal.timeout(5), stdin: "" });
  checkRunOptions({ cwd: undefined, env: { A: "1" }, check: true, capture: false, onStderr: () => {} });
  checkSpawnOptions({
    stdin: "ignore",
    stdout: "pipe",
    stderr: "ignore",
    detached: true,
    pty: { cols: 80, rows: 24 },
  });
  for (const content of ["", Buffer.from("x"), ["a", "b"], (async function* () {})()]) checkContent(content);
});

test("a process is a number", () => {
  expect(() => checkProcessId("x" as never)).toThrow(refused('the process "x" is not a number'));
  checkProcessId(0);
});
