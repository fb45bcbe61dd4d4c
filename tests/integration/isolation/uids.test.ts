import { mkdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { homeHash } from "../../../src/host/files/paths.ts";
import { preferredRange } from "../../../src/host/linux/vmm-uids.ts";
import { cliJson } from "../../helpers/cli.ts";
import { useTempHome } from "../../helpers/home.ts";

const isRoot = process.getuid?.() === 0;
if (!isRoot) console.warn("skipped: only root's virtual machines have uids of their own");

const directory = useTempHome();

/** A home, as the environment of its commands. */
interface Home {
  readonly XDG_DATA_HOME: string;
  readonly XDG_RUNTIME_DIR: string;
}

function home(name: string): Home {
  const own = { XDG_DATA_HOME: join(directory, name), XDG_RUNTIME_DIR: join(directory, `${name}-run`) };
  for (const path of Object.values(own)) mkdirSync(path, { recursive: true, mode: 0o700 });
  return own;
}

/** Two names of homes that look for uids in the same place first. */
function alike(): [string, string] {
  const byRange = new Map<number, string>();
  for (let i = 0; ; i++) {
    const name = `home-${i}`;
    const range = preferredRange(homeHash(join(directory, name, "smolvm")));
    const other = byRange.get(range);
    if (other !== undefined) return [other, name];
    byRange.set(range, name);
  }
}

/** The uid of a sandbox's machine, running, and the owner of its disk. */
async function uidOf(env: Home, id: string): Promise<number> {
  const { data } = await cliJson(["info", "box"], { env: { ...env } });
  expect(data.state).toBe("running");
  expect(statSync(join(env.XDG_DATA_HOME, "smolvm", "vms", id, "upper.img")).uid).toBe(data.isolation.uid);
  return data.isolation.uid;
}

const CREATE = ["create", "--name", "box", "--memory", "256M", "--network", "off"];

describe.runIf(isRoot)("two homes of root", () => {
  test("never have machines with one uid, whatever they are called", async () => {
    const [first, second] = alike().map(home) as [Home, Home];
    const ids: string[] = [];
    for (const env of [first, second]) {
      const created = await cliJson([...CREATE, "--backend", "qemu", "--isolation", "user", "--start"], {
        env: { ...env },
      });
      expect(created).toMatchObject({ ok: true });
      ids.push(created.data.id);
    }
    const uid = await uidOf(first, ids[0]!);
    expect(await uidOf(second, ids[1]!)).not.toBe(uid);
    for (const env of [first, second]) await cliJson(["rm", "--force", "box"], { env: { ...env } });
  });
});
