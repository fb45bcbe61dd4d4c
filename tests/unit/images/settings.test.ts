import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readEnvironment } from "../../../src/host/environment.ts";
import { configFiles } from "../../../src/host/files/config-files.ts";
import { imageSettings } from "../../../src/images/settings.ts";

let home: string;
beforeAll(() => {
  home = mkdtempSync(join(tmpdir(), "smt-settings-"));
});
afterAll(() => rmSync(home, { recursive: true, force: true }));

const settings = (file: unknown, env: Record<string, string> = {}) => {
  mkdirSync(home, { recursive: true });
  if (file === undefined) rmSync(join(home, "images.json"), { force: true });
  else writeFileSync(join(home, "images.json"), typeof file === "string" ? file : JSON.stringify(file));
  return imageSettings(readEnvironment({ SMOLVM_HOME: home, ...env }));
};

describe("the settings of images", () => {
  test("are the variables', then the user's file's, then the machine's", () => {
    expect(settings(undefined)).toMatchObject({
      downloadsMaxBytes: 20 * 1024 ** 3,
      downloadsMaxFrom: "default",
    });
    expect(settings({ downloadsMax: "1.5G" })).toMatchObject({
      downloadsMaxBytes: 1.5 * 1024 ** 3,
      downloadsMaxFrom: join(home, "images.json"),
    });
    expect(settings({ downloadsMax: "1G" }, { SMOLVM_DOWNLOADS_MAX: "5M" }).downloadsMaxBytes).toBe(
      5 * 2 ** 20,
    );
    const { mirrors } = settings(
      { mirrors: { "docker.io": ["https://a.example"], "ghcr.io": ["http://127.0.0.1:5000/x/"] } },
      { SMOLVM_REGISTRY_MIRRORS: "docker.io=https://b.example, docker.io=https://c.example" },
    );
    expect([...mirrors].map(([registry, urls]) => [registry, urls.map(String)])).toEqual([
      ["docker.io", ["https://b.example/", "https://c.example/"]],
      ["ghcr.io", ["http://127.0.0.1:5000/x/"]],
    ]);
  });

  test.each<[unknown, Record<string, string>]>([
    ["{", {}],
    [[], {}],
    [{ mirror: {} }, {}],
    [{ downloadsMax: 5 }, {}],
    [{ downloadsMax: "5" }, {}],
    [{ mirrors: { "docker.io": "https://a.example" } }, {}],
    [{ mirrors: { "docker.io": ["ftp://a.example"] } }, {}],
    [{ mirrors: { "docker.io": ["https://user:password@a.example"] } }, {}],
    [undefined, { SMOLVM_REGISTRY_MIRRORS: "https://a.example" }],
    [undefined, { SMOLVM_DOWNLOADS_MAX: "-1G" }],
  ])("that are none are refused: %j %j", (file, env) => {
    expect(() => settings(file, env)).toThrow(expect.objectContaining({ code: "CONFIG_INVALID" }));
  });

  test("are where each system has such files", () => {
    const files = (env: Record<string, string>, platform: NodeJS.Platform) =>
      configFiles("x.json", readEnvironment(env), platform);
    expect(files({ XDG_CONFIG_HOME: "/c" }, "linux")).toEqual(["/c/smolvm/x.json", "/etc/smolvm/x.json"]);
    expect(files({ SMOLVM_HOME: "/h" }, "linux")).toEqual(["/h/x.json", "/etc/smolvm/x.json"]);
    expect(files({ LOCALAPPDATA: "/l" }, "win32")).toEqual([join("/l", "smolvm", "x.json")]);
  });
});
