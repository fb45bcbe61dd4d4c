import { describe, expect, test } from "vitest";
import { readEnvironment } from "../../../../src/host/environment.ts";
import { vmFiles } from "../../../../src/host/files/filenames.ts";
import { type PathUser, refuseDirectory, resolvePaths } from "../../../../src/host/files/paths.ts";

const ANN: PathUser = { uid: 1000, homedir: "/home/ann", tmpdir: "/tmp" };
const ROOT: PathUser = { uid: 0, homedir: "/root", tmpdir: "/tmp" };
const paths = (env: Record<string, string>, platform: NodeJS.Platform = "linux", user: PathUser = ANN) =>
  resolvePaths(readEnvironment(env), platform, user);

describe("where things live on Linux", () => {
  test("in the XDG defaults, and the sockets in the session's directory", () => {
    expect(paths({ XDG_RUNTIME_DIR: "/run/user/1000" })).toMatchObject({
      dataDir: "/home/ann/.local/share/smolvm",
      cacheDir: "/home/ann/.cache/smolvm",
      runtimeDir: expect.stringMatching(/^\/run\/user\/1000\/smolvm-[0-9a-f]{10}$/),
    });
  });

  test("and homes that XDG_DATA_HOME or HOME tells apart share no sockets in one session: what clears up in one would take those of the other", () => {
    const session = { XDG_RUNTIME_DIR: "/run/user/1000" };
    const sockets = [
      paths(session),
      paths({ ...session, XDG_DATA_HOME: "/d" }),
      paths(session, "linux", { ...ANN, homedir: "/home/other" }),
    ].map(({ runtimeDir }) => runtimeDir);
    expect(new Set(sockets).size).toBe(3);
  });

  test("where the XDG variables point, unless they are relative", () => {
    expect(paths({ XDG_DATA_HOME: "/d", XDG_CACHE_HOME: "c" })).toMatchObject({
      dataDir: "/d/smolvm",
      cacheDir: "/home/ann/.cache/smolvm",
    });
  });

  test("without a session, sockets are in /tmp under the user's id, or in /run for root", () => {
    expect(paths({}).runtimeDir).toMatch(/^\/tmp\/smolvm-1000-[0-9a-f]{10}$/);
    expect(paths({}, "linux", ROOT).runtimeDir).toMatch(/^\/run\/smolvm-[0-9a-f]{10}$/);
  });

  test("SMOLVM_HOME overrides all, and two homes share no sockets", () => {
    const a = paths({ SMOLVM_HOME: "/srv/a", XDG_DATA_HOME: "/d", XDG_RUNTIME_DIR: "/run/user/1000" });
    const b = paths({ SMOLVM_HOME: "/srv/b", XDG_RUNTIME_DIR: "/run/user/1000" });
    expect(a).toMatchObject({ dataDir: "/srv/a", cacheDir: "/srv/a/cache" });
    expect(a.runtimeDir).toMatch(/^\/run\/user\/1000\/smolvm-[0-9a-f]{10}$/);
    expect(a.runtimeDir).not.toBe(b.runtimeDir);
  });
});

describe("where things live elsewhere", () => {
  test("on macOS in the Library, with sockets in /tmp because paths must be short", () => {
    const mac = paths({ XDG_RUNTIME_DIR: "/run/user/1000" }, "darwin", {
      uid: 501,
      homedir: "/Users/ann",
      tmpdir: "/var/folders/zz/zyxvpxvq6csfxvn_n0000000000000/T",
    });
    expect(mac.dataDir).toBe("/Users/ann/Library/Application Support/smolvm");
    expect(mac.cacheDir).toBe("/Users/ann/Library/Caches/smolvm");
    expect(mac.runtimeDir).toMatch(/^\/tmp\/smolvm-501-[0-9a-f]{10}$/);
  });

  test("socket paths fit with the longest name", () => {
    expect(() => vmFiles("/d", paths({}).runtimeDir, "x".repeat(64)).channel(31)).not.toThrow();
  });
});

describe("directories that may be used", () => {
  const stat = (uid: number, mode: number, directory = true, gid = uid) => ({
    uid,
    gid,
    mode,
    isDirectory: () => directory,
  });

  test("one's own, whatever a group may do that is one's own as well", () => {
    expect(refuseDirectory(stat(1000, 0o40700), 1000)).toBeUndefined();
    expect(refuseDirectory(stat(1000, 0o40775), 1000)).toBeUndefined();
    expect(refuseDirectory(stat(1000, 0o40755, true, 100), 1000)).toBeUndefined();
  });

  test("not one that a group of several may write", () => {
    expect(refuseDirectory(stat(1000, 0o40775, true, 100), 1000)).toBe(
      "may be written by its group (gid 100, mode 775)",
    );
  });

  test("not another user's", () => {
    expect(refuseDirectory(stat(0, 0o40700), 1000)).toBe("belongs to another user (uid 0)");
  });

  test("not one that everyone may write", () => {
    expect(refuseDirectory(stat(1000, 0o41777), 1000)).toBe("may be written by everyone (mode 777)");
  });

  test("not a file or a link", () => {
    expect(refuseDirectory(stat(1000, 0o100700, false), 1000)).toContain("is not a directory");
  });
});

test("root of a user namespace, who may not write to /run, has its sockets where users have them", () => {
  const runtime = (user: PathUser): string => resolvePaths(readEnvironment({}), "linux", user).runtimeDir;
  expect(runtime(ROOT)).toMatch(/^\/run\/smolvm-[0-9a-f]+$/);
  expect(runtime({ ...ROOT, withoutRun: true })).toMatch(/^\/tmp\/smolvm-0-[0-9a-f]+$/);
});
