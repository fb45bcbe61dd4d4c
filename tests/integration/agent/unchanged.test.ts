import { chmodSync, mkdirSync, readFileSync, rmSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { GuestFiles } from "../../../src/agent/files/guest-files.ts";
import { runCommand } from "../../../src/agent/process/exec.ts";
import type { AgentSession } from "../../../src/agent/session/session.ts";
import { isSmolVMError } from "../../../src/errors.ts";
import { FakeGuest } from "../../fakes/fake-guest.ts";
import { agentMissing, useAgent } from "../../helpers/agent.ts";
import { until } from "../../helpers/wait.ts";

const missing = agentMissing();
if (missing) console.warn(`skipped: ${missing}`);

describe.skipIf(missing)("a file that is written if nobody has changed it", () => {
  let session: AgentSession;
  let files: GuestFiles;
  const directory = useAgent((guest) => {
    ({ session, files } = guest);
  });

  test("is written if it is as it was, and then has another version", async () => {
    const at = directory();
    const first = await files.write(`${at}/f`, "1");
    expect(first).toMatchObject({ name: "f", path: `${at}/f`, type: "file", size: 1 });
    expect((await files.stat(`${at}/f`)).version).toBe(first.version);
    expect((await files.list(at))[0]?.version).toBe(first.version);
    expect(await files.readText(`${at}/f`)).toBe("1"); // reading changes nothing
    const second = await files.write(`${at}/f`, "2", { ifVersion: first.version });
    expect(second.version).not.toBe(first.version);
    symlinkSync("f", `${at}/link`);
    await files.write(`${at}/link`, "3", { ifVersion: second.version });
    expect(readFileSync(`${at}/f`, "utf8")).toBe("3");
  });

  test.each<[string, (path: string) => void]>([
    ["written in place", (path) => writeFileSync(path, "b")],
    ["given another mode", (path) => chmodSync(path, 0o600)],
    ["given another time", (path) => utimesSync(path, 5, 5)],
    [
      "removed and made anew",
      (path) => {
        rmSync(path);
        writeFileSync(path, "a");
      },
    ],
  ])("is left as it is when it was %s, and what is there now is told", async (_, change) => {
    const at = directory();
    const { version } = await files.write(`${at}/f`, "a");
    await until("the clock has ticked", async () => {
      change(`${at}/f`);
      return (await files.stat(`${at}/f`)).version !== version;
    });
    const current = await files.stat(`${at}/f`);
    const content = readFileSync(`${at}/f`, "utf8");
    await expect(files.write(`${at}/f`, "mine", { ifVersion: version })).rejects.toMatchObject({
      code: "FILE_CHANGED",
      message: `writing '${at}/f' failed: it has changed meanwhile ('${at}/f' is not of that version)`,
      details: { side: "guest", errno: undefined, current },
    });
    expect(readFileSync(`${at}/f`, "utf8")).toBe(content);
    expect(await readdir(at)).toEqual(["f"]);
  });

  test("is not made when it has gone, and not written when it changes while the content comes", async () => {
    const at = directory();
    const { version } = await files.write(`${at}/f`, "a");
    async function* late(): AsyncGenerator<string> {
      yield "x".repeat(100_000);
      writeFileSync(`${at}/f`, "somebody else's");
      yield "y";
    }
    await expect(files.write(`${at}/f`, late(), { ifVersion: version })).rejects.toMatchObject({
      code: "FILE_CHANGED",
      details: { current: { size: 15 } },
    });
    expect(readFileSync(`${at}/f`, "utf8")).toBe("somebody else's");
    rmSync(`${at}/f`);
    const gone = await files.write(`${at}/f`, "b", { ifVersion: version }).catch((error: unknown) => error);
    expect(gone).toMatchObject({ code: "FILE_CHANGED", details: { current: undefined } });
    expect(await readdir(at)).toEqual([]);
  });

  test("loses no change of many writers at once", async () => {
    const at = directory();
    await files.write(`${at}/counter`, "0");
    let conflicts = 0;
    const add = async (): Promise<void> => {
      for (;;) {
        const { version } = await files.stat(`${at}/counter`);
        const count = Number(await files.readText(`${at}/counter`));
        try {
          await files.write(`${at}/counter`, String(count + 1), { ifVersion: version });
          return;
        } catch (error) {
          if (!isSmolVMError(error, "FILE_CHANGED")) throw error;
          conflicts++;
        }
      }
    };
    const addThree = async (): Promise<void> => {
      for (let n = 0; n < 3; n++) await add();
    };
    await Promise.all(Array.from({ length: 10 }, addThree));
    expect(await files.readText(`${at}/counter`)).toBe("30");
    expect(conflicts).toBeGreaterThan(0);
  });

  test("that is made only if new is somebody's alone", async () => {
    const at = directory();
    const made = await Promise.allSettled(
      Array.from({ length: 20 }, (_, n) => files.write(`${at}/lock`, String(n), { exclusive: true })),
    );
    expect(made.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
    const refused = made.find((one) => one.status === "rejected");
    expect(refused?.reason).toMatchObject({ code: "FILE_EXISTS", details: { errno: "EEXIST" } });
  });

  test("waits for a lock that a program holds, as long as the caller likes", async () => {
    const at = directory();
    const { version } = await files.write(`${at}/f`, "a");
    const abort = new AbortController();
    const held = runCommand(session, ["flock", `${at}/f`, "sleep", "60"], { signal: abort.signal });
    held.catch(() => {});
    await until("it is held", async () => {
      const { exitCode } = await runCommand(session, ["flock", "--nonblock", `${at}/f`, "true"]);
      return exitCode !== 0;
    });
    await expect(files.write(`${at}/f`, "b", { ifVersion: version, timeoutMs: 100 })).rejects.toMatchObject({
      code: "TIMEOUT",
    });
    const write = files.write(`${at}/f`, "c", { ifVersion: version });
    abort.abort();
    await expect(held).rejects.toMatchObject({ code: "RUN_ABORTED" });
    await write;
    expect(readFileSync(`${at}/f`, "utf8")).toBe("c");
    await until("nothing else is left", async () => (await readdir(at)).length === 1);
  });

  test("wants a version that can be one, and no other condition beside it", async () => {
    const at = directory();
    const { version } = await files.write(`${at}/f`, "a");
    mkdirSync(`${at}/d`);
    for (const options of [
      { ifVersion: "" },
      { ifVersion: "no" },
      { ifVersion: 5 as never },
      { ifVersion: "00".repeat(33) },
      { ifVersion: version, exclusive: true },
      { ifVersion: version, append: true },
    ]) {
      const failed = { code: "CONFIG_INVALID", details: { option: "ifVersion" } };
      await expect(files.write(`${at}/f`, "b", options)).rejects.toMatchObject(failed);
      await expect(files.writeStream(`${at}/f`, options)).rejects.toMatchObject(failed);
    }
    const { version: of } = await files.stat(`${at}/d`);
    await expect(files.write(`${at}/d`, "b", { ifVersion: of })).rejects.toMatchObject({
      details: { errno: "EISDIR" },
    });
  });
});

test("a lying guest's word on what is there now is checked", async () => {
  await using guest = await FakeGuest.start({
    onOpen: (stream) => {
      stream.result({ error: { code: 23 }, file: { type: 1, version: Buffer.alloc(33) } });
    },
  });
  const session = await guest.connect();
  const files = new GuestFiles(async () => session);
  await expect(files.write("/f", "", { ifVersion: "00" })).rejects.toMatchObject({ code: "AGENT_PROTOCOL" });
  await session.close();
});
