import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import { renderErrors, renderReference } from "../../scripts/docs.ts";
import { openEscapes, restrictedEscapes, withEscapes } from "../../scripts/docs-escapes.ts";
import { withPairs } from "../../scripts/docs-pairs.ts";
import { publicSurface } from "../../scripts/docs-source.ts";
import { ERROR_CODES } from "../../src/errors.ts";
import { EscapeRuns, RUNS_DIR } from "../helpers/escape-runs.ts";

const ROOT = join(import.meta.dirname, "../..");
const read = (path: string): string => readFileSync(join(ROOT, path), "utf8");
const PAGES = [
  "README.md",
  "ARCHITECTURE.md",
  ...readdirSync(join(ROOT, "docs"))
    .filter((name) => name.endsWith(".md"))
    .map((name) => `docs/${name}`),
];

describe("the pages that `npm run docs` makes", () => {
  test("docs/errors.md is what the sources say", async () => {
    await expect(renderErrors(read)).toMatchFileSnapshot("../../docs/errors.md");
  });

  test("docs/sdk-reference.md is what the sources say", async () => {
    await expect(renderReference(read)).toMatchFileSnapshot("../../docs/sdk-reference.md");
  });

  test("docs/lifecycle.md has the table of what comes of two calls at once", () => {
    expect(withPairs(read("docs/lifecycle.md"))).toBe(read("docs/lifecycle.md"));
  });

  test("what guests have tried on their networks is what runs have left", async () => {
    const runs = EscapeRuns.read(RUNS_DIR);
    await expect(openEscapes(runs)).toMatchFileSnapshot("../../docs/open-escapes.md");
    await expect(restrictedEscapes(runs)).toMatchFileSnapshot("../../docs/restricted-escapes.md");
    expect(withEscapes(read("docs/network.md"), runs)).toBe(read("docs/network.md"));
  });

  test("what no run has held a guest to as it is now is said to be not run", () => {
    const none = new EscapeRuns([]);
    expect(openEscapes(none)).toContain(
      "| a name | reached (not run) | reached (not run) | reached (not run) | reached (not run) | reached (not run) | |",
    );
    expect(restrictedEscapes(none)).toContain("| another name | reset (not run) | denied: `no-rule` |");
    expect(withEscapes(read("docs/network.md"), none)).toContain(
      "| a tap | Firecracker, KVM | not run | | | |",
    );
    const old = new EscapeRuns([
      { network: "tap", backend: "firecracker", accelerator: "kvm", date: "2026-01-01", held: ["00000000"] },
    ]);
    expect(withEscapes(read("docs/network.md"), old)).toMatch(
      /\| a tap \| Firecracker, KVM \| 2026-01-01, but for \d+ \| 0 \| 0 \| 0 \|/,
    );
  });

  test("hold the members of a class without what is private, and overloads without their implementation", () => {
    const files: Record<string, string> = {
      "src/index.ts": 'export { Box } from "./box.ts";\n',
      "src/backends.ts": "",
      "src/box.ts": `/** A box. */
export class Box {
  /** its size, "{" included */
  readonly size: number;
  readonly #secret = 1;

  /** @throws SmolVMError NO_SPACE */
  constructor(size: number);
  /** @internal */
  constructor(size: number, secret: number);
  constructor(size: number, secret = 1) {
    this.size = size;
  }

  /** Puts something in. */
  async put(
    what: string,
    options: { at?: number } = {},
  ): Promise<void> {
    if (what) {
      this.#hide();
    }
  }

  #hide(): void {}
}
`,
    };
    const [box] = publicSurface((path) => files[path]!).get("smolvm")!;
    expect(box!.members).toEqual([
      { name: "size", doc: 'its size, "{" included', signature: "readonly size: number" },
      { name: "constructor", doc: "@throws SmolVMError NO_SPACE", signature: "constructor(size: number)" },
      {
        name: "put",
        doc: "Puts something in.",
        signature: "put(what: string, options: { at?: number } = {}): Promise<void>",
      },
    ]);
  });
});

describe("the documentation", () => {
  test.each(PAGES)("%s links to nothing that is missing", (page) => {
    for (const [, link] of proseOf(page).matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^[a-z]+:/.test(link!)) continue;
      const [path, anchor] = link!.split("#") as [string, string?];
      const file = path === "" ? page : join(dirname(page), path);
      expect(existsSync(join(ROOT, file)), `${page}: ${link}`).toBe(true);
      if (anchor !== undefined) expect(anchorsOf(file), `${page}: ${link}`).toContain(anchor);
    }
  });

  test.each(PAGES)("%s names no error code that does not exist", (page) => {
    for (const [, code] of read(page).matchAll(/`([A-Z]+_[A-Z_]+)`/g)) {
      if (
        /^(?:SMOLVM|XDG|NO_COLOR|ERROR_CODES|BACKEND_(?:AUTO|QEMU|FIRECRACKER)|SUPPORTED_|FORTIFY_|AF_|DOCKER_CONFIG|REGISTRY_AUTH_FILE|HTTPS?_PROXY|NO_PROXY|SSL_CERT_FILE|SOURCE_DATE_EPOCH)/.test(
          code!,
        )
      )
        continue;
      expect(Object.keys(ERROR_CODES), page).toContain(code);
    }
  });
});

/** A page without its blocks of code. */
function proseOf(page: string): string {
  return read(page).replaceAll(/^```.*?^```/gms, "");
}

function anchorsOf(page: string): string[] {
  return [...proseOf(page).matchAll(/^#+ (.*)$/gm)].map(([, heading]) =>
    heading!
      .toLowerCase()
      .replaceAll(/[^\w -]/g, "")
      .replaceAll(" ", "-"),
  );
}
