import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { ensurePaths, ensurePrivateDir, processPaths } from "../../../../src/host/files/paths.ts";
import { findProgram } from "../../../../src/host/process/find-program.ts";
import { openStore } from "../../../../src/store/store.ts";

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "smd-"));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const mode = (path: string): number => statSync(path).mode & 0o777;

describe("private directories", () => {
  test("are made with their parents, for this user alone", () => {
    ensurePrivateDir(join(dir, "a/b"));
    expect(mode(join(dir, "a/b"))).toBe(0o700);
  });

  test("that cannot be made are an error at once, and say why", { timeout: 5000 }, () => {
    writeFileSync(join(dir, "file"), "");
    expect(() => ensurePrivateDir(join(dir, "file"))).toThrow(/cannot be made: a file of that name is there/);
    expect(() => ensurePrivateDir(join(dir, "file/below"))).toThrow(/cannot be made: ENOTDIR/);
    if (process.platform === "linux") {
      expect(() => ensurePrivateDir("/proc/smolvm/deeper")).toThrow(/cannot be made: ENOENT/);
    }
  });

  test("that others could read are closed to them, where they can get to them", () => {
    mkdirSync(join(dir, "open"));
    chmodSync(join(dir, "open"), 0o755);
    ensurePrivateDir(join(dir, "open"));
    expect(mode(join(dir, "open"))).toBe(0o755); // below a private one
    chmodSync(dir, 0o755);
    ensurePrivateDir(join(dir, "open"));
    chmodSync(dir, 0o700);
    expect(mode(join(dir, "open"))).toBe(0o700);
  });

  test("of data and cache that are there keep their mode, and what is ours in them is private itself", () => {
    const [dataDir, cacheDir] = [join(dir, "shared-data"), join(dir, "shared-cache")];
    for (const path of [dataDir, cacheDir]) mkdirSync(path);
    for (const path of [dir, dataDir, cacheDir]) chmodSync(path, 0o755);
    try {
      ensurePaths({ dataDir, cacheDir, runtimeDir: join(dir, "run") });
      openStore(dataDir).close();
      expect([dataDir, cacheDir, join(dir, "run")].map(mode)).toEqual([0o755, 0o755, 0o700]);
      for (const name of readdirSync(dataDir)) expect(mode(join(dataDir, name)) & 0o077, name).toBe(0);
      chmodSync(join(dataDir, "store.db"), 0o644); // as earlier versions made it
      openStore(dataDir).close();
      expect(mode(join(dataDir, "store.db"))).toBe(0o600);
    } finally {
      chmodSync(dir, 0o700);
    }
  });

  test("that everyone may write are refused and left as they are", () => {
    mkdirSync(join(dir, "wild"));
    chmodSync(join(dir, "wild"), 0o777);
    expect(() => ensurePrivateDir(join(dir, "wild"))).toThrow(/may be written by everyone/);
    expect(mode(join(dir, "wild"))).toBe(0o777);
  });

  test("may be links for data, on a larger disk perhaps, and never for sockets", () => {
    mkdirSync(join(dir, "large"), { mode: 0o700 });
    symlinkSync(join(dir, "large"), join(dir, "link"));
    ensurePaths({ dataDir: join(dir, "link"), cacheDir: join(dir, "cache"), runtimeDir: join(dir, "run") });
    expect(() => ensurePrivateDir(join(dir, "link"))).toThrow(/is not a directory \(or is a symbolic link\)/);
  });

  test("that cannot be made are an error with the way out", () => {
    writeFileSync(join(dir, "file"), "");
    expect(() => ensurePrivateDir(join(dir, "file/sub"))).toThrow(
      expect.objectContaining({ code: "HOST_FAILED", hint: expect.stringContaining("SMOLVM_HOME") }),
    );
  });
});

describe("the directory of the sockets", () => {
  afterEach(() => vi.unstubAllEnvs());

  test("stays the same for processes whose environment names another, until it goes away", () => {
    const [home, session] = [join(dir, "home"), join(dir, "session")];
    mkdirSync(session, { mode: 0o700 });
    vi.stubEnv("SMOLVM_HOME", home);
    vi.stubEnv("XDG_RUNTIME_DIR", session);
    const first = processPaths();
    ensurePaths(first);
    expect(first.runtimeDir.startsWith(`${session}/smolvm-`)).toBe(true);
    vi.stubEnv("XDG_RUNTIME_DIR", ""); // as under cron
    expect(processPaths()).toEqual(first);
    rmSync(session, { recursive: true });
    expect(processPaths().runtimeDir).toMatch(/^\/(run|tmp)\/smolvm-/);
  });

  test("and all others lie nowhere below the working directory, whatever HOME says", () => {
    for (const name of ["SMOLVM_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME"]) vi.stubEnv(name, "");
    for (const home of ["", "relative"]) {
      vi.stubEnv("HOME", home);
      const { dataDir, cacheDir } = processPaths();
      expect([dataDir[0], cacheDir[0]]).toEqual(["/", "/"]);
    }
  });
});

describe("finding a program", () => {
  test("searches the path in order and takes only what can be executed", () => {
    for (const name of ["x", "y"]) mkdirSync(join(dir, name));
    writeFileSync(join(dir, "x/tool"), "", { mode: 0o644 });
    writeFileSync(join(dir, "y/tool"), "", { mode: 0o755 });
    expect(findProgram("tool", `${dir}/x:${dir}/y`)).toBe(join(dir, "y/tool"));
    expect(findProgram("tool", `${dir}/x`, [`${dir}/y`])).toBe(join(dir, "y/tool"));
    expect(findProgram("tool", `${dir}/x`)).toBeUndefined();
    expect(findProgram("tool", undefined)).toBeUndefined();
  });

  test("never looks into the working directory for an empty entry", () => {
    expect(findProgram("package.json", "::")).toBeUndefined();
  });

  test("takes a path as it is, and no directory for a program", () => {
    expect(findProgram(join(dir, "y/tool"), "")).toBe(join(dir, "y/tool"));
    expect(findProgram(join(dir, "y"), "")).toBeUndefined();
  });
});
