/** What a start does with a systemd manager that makes no scope. One that does is a real one: tests/lab/tests/user-scope.test.ts. */
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type LaunchedProgram, launchProgram } from "../../../../src/host/monitor/launch.ts";
import { Deadline } from "../../../../src/util/deadline.ts";

let dir: string;
let server: Server;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "sms-"));
});
afterEach(async () => {
  await new Promise((resolve) => server.close(resolve));
  rmSync(dir, { recursive: true, force: true });
});

/** Listens where a manager would. */
async function manager(serve: (client: Socket) => void): Promise<void> {
  server = createServer((client) => {
    client.on("error", () => {}).resume(); // it goes when it likes
    serve(client);
  });
  await new Promise<void>((resolve) => server.listen(join(dir, "private"), resolve));
}

function launch(): Promise<LaunchedProgram> {
  return launchProgram({
    argv: ["/bin/sh", "-c", "echo ran"],
    ...{ console: join(dir, "console"), stderr: join(dir, "stderr"), exit: join(dir, "exit") },
    dieWithParent: false,
    deadline: Deadline.of("the test", { timeoutMs: 20_000 }),
    scope: {
      manager: join(dir, "private"),
      name: "box.scope",
      description: "a test",
      limits: { memoryMib: 100, cpus: 1, pids: 100 },
    },
  });
}

describe.runIf(process.platform === "linux")(
  "a program starts all the same, and it is said why without a scope",
  () => {
    test.each<[string, (client: Socket) => void, string]>([
      ["does not answer", () => {}, "asking systemd did not finish within 2000 ms"],
      ["hangs up", (client) => client.end(), "systemd ended the conversation"],
      ["refuses", (client) => client.end("REJECTED EXTERNAL\r\n"), "it said 'REJECTED EXTERNAL'"],
      [
        "talks nonsense",
        (client) => client.end(`OK 0\r\n${"x".repeat(64)}`),
        "systemd ended the conversation: a message of",
      ],
    ])("where the manager %s", async (_, serve, why) => {
      await manager(serve);
      const launched = await launch();
      expect(launched.scopeRefusal).toContain(why);
      expect(await launched.exited).toMatchObject({ code: 0 });
    });

    test("where nobody listens any more", async () => {
      await manager(() => {});
      await new Promise((resolve) => server.close(resolve));
      expect((await launch()).scopeRefusal).toContain("ENOENT");
    });
  },
);
