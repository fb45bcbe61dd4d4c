import { statSync, symlinkSync, writeFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import type { GuestFiles } from "../../../src/agent/files/guest-files.ts";
import { runCommand } from "../../../src/agent/process/exec.ts";
import type { AgentSession } from "../../../src/agent/session/session.ts";
import type { Errno } from "../../../src/errors.ts";
import { isSmolVMError } from "../../../src/errors.ts";
import { AGENT_IS_ROOT, agentMissing, useAgent } from "../../helpers/agent.ts";

const missing = agentMissing();
if (missing) console.warn(`skipped: ${missing}`);

describe.skipIf(missing)("what is known of files in the guest", () => {
  let session: AgentSession;
  let files: GuestFiles;
  const directory = useAgent((guest) => {
    ({ session, files } = guest);
  });

  test("which of all types they have, listed and looked at", async () => {
    const at = directory();
    // Devices are for root to make.
    const devices = AGENT_IS_ROOT ? "mknod block b 7 0; mknod character c 1 3" : ":";
    const make = `mkfifo fifo; : > file; mkdir directory; ln -s file symlink; ${devices}`;
    const socket = "import socket; socket.socket(socket.AF_UNIX).bind('socket')";
    const { exitCode } = await runCommand(session, `${make}; python3 -c "${socket}"`, { cwd: at });
    expect(exitCode).toBe(0);
    const types = (await files.list(at)).map(({ name, type }) => [name, type]);
    expect(types).toEqual([
      ...(AGENT_IS_ROOT
        ? [
            ["block", "blockDevice"],
            ["character", "characterDevice"],
          ]
        : []),
      ["directory", "directory"],
      ["fifo", "fifo"],
      ["file", "file"],
      ["socket", "socket"],
      ["symlink", "symlink"],
    ]);
    expect((await files.stat("/dev/null")).type).toBe("characterDevice");
    for (const [name, type] of types) {
      expect((await files.stat(`${at}/${name}`, { follow: false })).type).toBe(type);
    }
  });

  test("their inode and when they were made, where the file system keeps that", async () => {
    const at = directory();
    writeFileSync(`${at}/file`, "x");
    const here = statSync(`${at}/file`, { bigint: true });
    const { inode, birthtime } = await files.stat(`${at}/file`);
    expect(inode).toBe(String(here.ino));
    if (here.birthtimeMs > 0n) expect(birthtime?.getTime()).toBe(Number(here.birthtimeMs));
    await files.rename(`${at}/file`, `${at}/moved`);
    expect((await files.list(at)).map((entry) => [entry.name, entry.inode])).toEqual([["moved", inode]]);
    expect((await files.stat("/proc/self/stat")).birthtime).toBeUndefined();
  });

  test("why something cannot be done to them: the kernel's error by name, for each verb", async () => {
    const at = directory();
    writeFileSync(`${at}/file`, "x");
    symlinkSync("loop", `${at}/loop`);
    await files.mkdir(`${at}/full/below`, { parents: true });
    await files.mkdir(`${at}/empty`);
    const errno = async (call: Promise<unknown>): Promise<Errno | undefined> => {
      const error = await call.then(
        () => undefined,
        (error: unknown) => error,
      );
      if (!isSmolVMError(error)) throw new Error(`it is no SmolVMError: ${String(error)}`);
      expect(error.details.side).toBe("guest");
      return error.details.errno;
    };
    const cases: [() => Promise<unknown>, Errno][] = [
      [() => files.read(`${at}/none`), "ENOENT"],
      [() => files.read(at), "EISDIR"],
      [() => files.read(`${at}/file/x`), "ENOTDIR"],
      [() => files.read(`${at}/loop`), "ELOOP"],
      [() => files.readStream(at), "EISDIR"],
      [() => files.write(at, ""), "EISDIR"],
      [() => files.write(`${at}/none/x`, ""), "ENOENT"],
      [() => files.write(`${at}/file/x`, ""), "ENOTDIR"],
      [() => files.write(`${at}/file`, "", { exclusive: true }), "EEXIST"],
      [() => files.write(`${at}/${"x".repeat(256)}`, ""), "ENAMETOOLONG"],
      [() => files.list(`${at}/file`), "ENOTDIR"],
      [() => files.list(`${at}/none`), "ENOENT"],
      [() => files.stat(`${at}/none`), "ENOENT"],
      [() => files.stat(`${at}/file/x`), "ENOTDIR"],
      [() => files.mkdir(`${at}/full`), "EEXIST"],
      [() => files.mkdir(`${at}/file`, { parents: true }), "EEXIST"],
      [() => files.mkdir(`${at}/none/x`), "ENOENT"],
      [() => files.remove(`${at}/full`), "ENOTEMPTY"],
      [() => files.remove(`${at}/none`), "ENOENT"],
      [() => files.rename(`${at}/file`, `${at}/empty`), "EISDIR"],
      [() => files.rename(`${at}/empty`, `${at}/file`), "ENOTDIR"],
      [() => files.rename(`${at}/empty`, `${at}/full`), "ENOTEMPTY"],
      [() => files.rename(`${at}/full`, `${at}/full/below/x`), "EINVAL"],
      [() => files.rename(`${at}/file`, `${at}/full`, { replace: false }), "EEXIST"],
      [() => files.rename(`${at}/file`, "/proc/x"), "EXDEV"],
      [() => files.watch(`${at}/none`), "ENOENT"],
      [() => files.downloadTar(`${at}/none`), "ENOENT"],
      [() => files.download(`${at}/none`, `${at}/there`), "ENOENT"],
    ];
    for (const [call, expected] of cases) expect(await errno(call())).toBe(expected);
  });

  test("or in their place on this machine", async () => {
    const at = directory();
    writeFileSync(`${at}/file`, "x");
    await files.mkdir(`${at}/dir/file/x`, { parents: true });
    await files.mkdir(`${at}/other/x`, { parents: true });
    writeFileSync(`${at}/other/file`, "x");
    symlinkSync("nothing", `${at}/dangling`);
    const cases: [() => Promise<unknown>, Errno][] = [
      [() => files.download(`${at}/file`, `${at}/dir`), "EISDIR"],
      [() => files.download(`${at}/dir`, `${at}/file`), "ENOTDIR"],
      [() => files.download(`${at}/file`, `${at}/none/x`), "ENOENT"],
      [() => files.download(`${at}/file`, `${at}/dangling`), "ENOENT"],
      [() => files.download(`${at}/dir`, `${at}/other`), "ENOTDIR"],
      [() => files.download(`${at}/other`, `${at}/dir`), "EISDIR"],
      [() => files.upload(`${at}/none`, `${at}/x`), "ENOENT"],
    ];
    for (const [call, errno] of cases) {
      await expect(call()).rejects.toMatchObject({ details: { side: "host", errno } });
    }
    for (const [call, errno] of [
      [() => files.upload(`${at}/dir`, `${at}/file`), "ENOTDIR"],
      [() => files.upload(`${at}/file`, `${at}/dir`), "EISDIR"],
      [() => files.upload(`${at}/file`, `${at}/none/x`), "ENOENT"],
      [() => files.downloadTar(`${at}/file/.`), "ENOTDIR"],
    ] as const) {
      await expect(call()).rejects.toMatchObject({ details: { side: "guest", errno } });
    }
  });

  test("an empty directory is removed without recursive, a full one only with it", async () => {
    const at = directory();
    await files.mkdir(`${at}/d/e`, { parents: true });
    await expect(files.remove(`${at}/d`)).rejects.toMatchObject({ details: { errno: "ENOTEMPTY" } });
    await files.remove(`${at}/d/e`);
    await files.remove(`${at}/d`);
    expect(await files.exists(`${at}/d`)).toBe(false);
  });
});
