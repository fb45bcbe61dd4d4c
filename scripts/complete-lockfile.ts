/**
 * Adds to package-lock.json what npm leaves out when a registry (a mirror) lacks packages for other platforms: without
 * these entries `npm ci` fails in every fresh checkout ("Missing: ... from lock file"). Such an entry has no integrity;
 * it only says for which platform the package is, which is why it is not installed here.
 *
 *   node scripts/complete-lockfile.ts          after npm install has changed package-lock.json
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

interface Entry {
  readonly version?: string;
  readonly dev?: boolean;
  readonly license?: string;
  readonly engines?: object;
  readonly libc?: readonly string[];
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

const SYSTEMS = ["aix", "android", "darwin", "freebsd", "linux", "openharmony", "win32"];
const PROCESSORS = ["arm", "arm64", "ia32", "ppc64", "riscv64", "s390x", "x64"];

const path = join(import.meta.dirname, "../package-lock.json");
const lock = JSON.parse(readFileSync(path, "utf8")) as { packages: Record<string, Entry> };
const packages = { ...lock.packages };

for (const [parent, { dev, optionalDependencies = {} }] of Object.entries(lock.packages)) {
  const siblings = Object.keys(optionalDependencies).map((name) => packages[`node_modules/${name}`]);
  const sibling = siblings.find((entry) => entry !== undefined);
  for (const [name, version] of Object.entries(optionalDependencies)) {
    const key = `node_modules/${name}`;
    if (packages[key] !== undefined || packages[`${parent}/${key}`] !== undefined) continue;
    // The names of such packages end in their platform: "binding-linux-arm-musleabihf".
    const words = name.slice(name.lastIndexOf("/") + 1).split("-");
    const os = words.find((word) => SYSTEMS.includes(word));
    const cpu = words.find((word) => PROCESSORS.includes(word));
    if (os === undefined || cpu === undefined || !/^\d/.test(version)) {
      throw new Error(`package-lock.json lacks ${name}@${version}, and its name does not tell its platform`);
    }
    const libc = words.some((word) => word.startsWith("musl")) ? "musl" : "glibc";
    packages[key] = {
      version,
      ...{ cpu: [cpu] },
      ...(dev ? { dev } : {}),
      ...(os === "linux" && siblings.some((entry) => entry?.libc) ? { libc: [libc] } : {}),
      ...(sibling?.license ? { license: sibling.license } : {}),
      ...{ optional: true, os: [os] },
      ...(sibling?.engines ? { engines: sibling.engines } : {}),
    };
    console.log(`added ${name}@${version}`);
  }
}

lock.packages = Object.fromEntries(Object.entries(packages).sort(([a], [b]) => a.localeCompare(b, "en")));
writeFileSync(path, `${JSON.stringify(lock, undefined, 2)}\n`);
