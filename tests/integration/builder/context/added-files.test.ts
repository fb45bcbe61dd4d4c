import { execFileSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { AddedFile } from "../../../../src/builder/context/added-file.ts";
import { type AddOptions, addedFiles } from "../../../../src/builder/context/added-files.ts";
import { BuildContext } from "../../../../src/builder/context/context.ts";
import type { CopyFilter } from "../../../../src/builder/plan/selection.ts";
import { imageLayout } from "../../../../src/images/store/layout.ts";
import { Deadline } from "../../../../src/util/deadline.ts";
import { type TarEntry, TarReader } from "../../../../src/util/tar/reader.ts";
import { layerTar } from "../../../helpers/layers.ts";

const CONTENT = "of the network\n";
const DIGEST = `sha256:${createHash("sha256").update(CONTENT).digest("hex")}`;

let directory: string;
let context: BuildContext;
let server: Server;
let origin: string;
let served: Buffer;
beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "smolvm-add-"));
  context = await BuildContext.open(directory, join(directory, "Dockerfile"));
  server = createServer((request, response) => {
    if (request.url === "/moved") response.writeHead(302, { location: "/file" }).end();
    else if (request.url === "/round") response.writeHead(302, { location: "/round" }).end();
    else if (request.url === "/away") response.writeHead(302, { location: "ftp://x/" }).end();
    else if (request.url === "/served") response.writeHead(200).end(served);
    else if (request.url !== "/file") response.writeHead(404).end();
    else response.writeHead(200, { "last-modified": "Fri, 13 Feb 2009 23:31:30 GMT" }).end(CONTENT);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => {
  server.close();
  rmSync(directory, { recursive: true, force: true });
});

function addAll(from: BuildContext, sources: string[], more: Partial<AddOptions>): Promise<AddedFile[]> {
  return addedFiles(from, sources, {
    dirs: { cacheDir: directory },
    keyword: "ADD",
    checksum: undefined,
    deadline: Deadline.of("adding", { timeoutMs: 10_000 }),
    fail: (what) => new Error(what) as never,
    mayReach: () => true,
    ...more,
  });
}

async function add(
  source: string,
  more: Partial<AddOptions> = {},
): Promise<{ entry: TarEntry; content: string }> {
  const files = await addAll(context, [source], more);
  const reader = new TarReader();
  let entry: TarEntry | undefined;
  let content = "";
  for await (const chunk of files[0]!.tar({ uid: 1, gid: 2, mode: undefined, name: undefined }))
    for (const step of reader.push(chunk)) {
      if (step.step === "entry") entry = step.entry;
      if (step.step === "data") content += step.data.toString();
    }
  await files[0]!.close();
  return { entry: entry!, content };
}

describe("ADD of a URL", () => {
  test.each(["/file", "/moved"])("%s is the file, for root alone, of its time", async (path) => {
    const { entry, content } = await add(`${origin}${path}`, { checksum: DIGEST });
    expect(content).toBe(CONTENT);
    expect(entry).toMatchObject({ mode: 0o600, uid: 1, gid: 2, mtimeS: 1_234_567_890 });
    expect(Buffer.from(entry.path).toString()).toBe(path.slice(1));
    expect(readdirSync(imageLayout({ cacheDir: directory }).blobs)).toEqual([]);
  });

  test("with another checksum, from where there is none, or round and round is refused, and nothing is left", async () => {
    const wrong = `sha256:${"0".repeat(64)}`;
    await expect(add(`${origin}/file`, { checksum: wrong })).rejects.toThrow(`is ${DIGEST}, and not`);
    await expect(add(`${origin}/none`)).rejects.toThrow("the server answers 404");
    await expect(add("https://[/x")).rejects.toThrow("'https://[/x' is no address");
    await expect(add(`${origin}/round`)).rejects.toThrow("again and again");
    await expect(add(`${origin}/away`)).rejects.toThrow("redirected to ftp:");
    expect(readdirSync(imageLayout({ cacheDir: directory }).blobs)).toEqual([]);
  });

  test.each(["/none", "missing"])("of several leaves nothing if a later one fails (%s)", async (later) => {
    const source = later.startsWith("/") ? `${origin}${later}` : later;
    const own = await BuildContext.open(directory, join(directory, "Dockerfile"));
    await expect(addAll(own, [`${origin}/file`, source], {})).rejects.toThrow(/answers 404|is not in/);
    expect(readdirSync(imageLayout({ cacheDir: directory }).blobs)).toEqual([]);
  });

  test.each(["127.0.0.1", "localhost", "169.254.169.254", "[::1]", "10.0.0.1", "2130706433"])(
    "from %s is refused: that is not the public internet",
    async (host) => {
      const { port } = new URL(origin);
      await expect(add(`http://${host}:${port}/file`, { mayReach: undefined })).rejects.toThrow(
        "which is not of the public internet",
      );
    },
  );
});

const TREE = [
  "x/a.txt",
  "y/a.txt",
  "src/a.txt",
  "src/x/b.txt",
  "src/x/y/c.txt",
  "src/x/y/d.md",
  "home.txt",
  "home.md",
  "homes/in.txt",
  "homes/deep/in.txt",
];

describe("what COPY takes of its context", () => {
  let tree: BuildContext;
  beforeAll(async () => {
    const root = join(directory, "tree");
    for (const path of TREE) {
      mkdirSync(join(root, path, ".."), { recursive: true });
      writeFileSync(join(root, path), path);
    }
    tree = await BuildContext.open(root, join(root, "Dockerfile"));
  });

  // What Docker's documentation says of each, and what else people write.
  test.for<[string, Partial<CopyFilter>, string[], string[]]>([
    ["x/a.txt", {}, ["a.txt"], []],
    ["./x/a.txt", { parents: true }, ["x/a.txt"], ["x"]],
    ["/y/a.txt", { parents: true }, ["y/a.txt"], ["y"]],
    ["./src/./x/*.txt", { parents: true }, ["x/b.txt"], ["x"]],
    [
      "./src/**/*.txt",
      { parents: true },
      ["src/a.txt", "src/x", "src/x/b.txt", "src/x/y", "src/x/y/c.txt"],
      ["src"],
    ],
    ["*/a.txt", { parents: true }, ["src", "src/a.txt", "x", "x/a.txt", "y", "y/a.txt"], []],
    [
      "src/x",
      { parents: true },
      ["src/x", "src/x/b.txt", "src/x/y", "src/x/y/c.txt", "src/x/y/d.md"],
      ["src"],
    ],
    ["src/./x", { parents: true, exclude: ["**/*.txt"] }, ["x", "x/y", "x/y/d.md"], []],
    ["s*/./x/b.txt", { parents: true }, ["x/b.txt"], ["x"]],
    ["src/x/./", { parents: true }, ["b.txt", "y", "y/c.txt", "y/d.md"], []],
    ["hom*", { exclude: ["*.txt"] }, ["home.md", "deep", "deep/in.txt"], []],
    ["hom*", { exclude: ["*.txt", "*.md"] }, ["deep", "deep/in.txt"], []],
    // Nothing is above the context's root, as for BuildKit.
    ["../x/a.txt", {}, ["a.txt"], []],
    ["../../src/../y", {}, ["a.txt"], []],
    ["..", { exclude: ["src", "hom*"] }, ["x", "x/a.txt", "y", "y/a.txt"], []],
    ["../x/*.txt", { parents: true }, ["x/a.txt"], ["x"]],
    ["src", { exclude: ["x/y"] }, ["a.txt", "x", "x/b.txt"], []],
    ["src", { exclude: ["**", "!x/b.txt"] }, ["x/b.txt"], []],
    [".", { exclude: ["src", "**/a.txt", "hom*"] }, ["x", "y"], []],
    ["x/a.txt", { exclude: ["a.txt"] }, [], []],
  ])("%s with %o", async ([source, filter, files, above]) => {
    const selected = await tree.select(source, { parents: false, exclude: [], ...filter });
    const names = (list: readonly { name: string }[] = []) => list.map(({ name }) => name);
    expect([names(selected?.files), names(selected?.above)]).toEqual([files, above]);
  });

  test("a source that is a symlink is what it leads to, and never outside of the context; in a directory it stays one", async () => {
    const root = join(directory, "links");
    mkdirSync(join(root, "real/deep"), { recursive: true });
    mkdirSync(join(root, "etc"));
    writeFileSync(join(root, "real/deep/file"), "inside");
    writeFileSync(join(root, "etc/passwd"), "the context's");
    const links: Record<string, string> = {
      "to-file": "real/deep/file",
      "to-directory": "real",
      "real/up": "../to-file",
      absolute: "/etc/passwd",
      outside: "../../../../etc/passwd",
      nowhere: "gone",
      round: "round",
    };
    for (const [path, target] of Object.entries(links)) symlinkSync(target, join(root, path));
    const linked = await BuildContext.open(root, join(root, "Dockerfile"));
    const selected = async (source: string) =>
      (await linked.select(source))?.files.map(({ name, entry }) => `${name} ${entry.kind} ${entry.path}`);
    expect(await selected("to-file")).toEqual(["to-file file real/deep/file"]);
    expect(await selected("real/up")).toEqual(["up file real/deep/file"]);
    expect(await selected("to-directory/deep/file")).toEqual(["file file real/deep/file"]);
    expect(await selected("to-directory")).toEqual([
      "deep directory real/deep",
      "deep/file file real/deep/file",
      "up symlink real/up",
    ]);
    expect(await selected("absolute")).toEqual(["absolute file etc/passwd"]);
    expect(await selected("outside")).toEqual(["outside file etc/passwd"]);
    expect(await selected("to-f*")).toEqual(["to-file file real/deep/file"]);
    expect(await selected("nowhere")).toBeUndefined();
    expect(await selected("round")).toBeUndefined();
    expect(await selected("now*")).toEqual(["nowhere symlink nowhere"]);
  });

  test("a pattern may match nothing, which is told; a name may not", async () => {
    const warnings: string[] = [];
    const options = { warn: (what: string) => warnings.push(what) };
    expect(await addAll(tree, ["go.sum*", "none/**/*.go"], options)).toEqual([]);
    expect(warnings).toEqual([
      "'go.sum*' matches nothing in the context",
      "'none/**/*.go' matches nothing in the context",
    ]);
    await expect(addAll(tree, ["go.sum"], options)).rejects.toThrow("is not in");
  });
});

test.each([
  "https://127.0.0.1:1/owner/name.git",
  "https://127.0.0.1:1/owner/name.git#v1:docs",
  "https://127.0.0.1:1/owner/name.git?branch=main",
  "git@127.0.0.1:owner/name.git",
  "ssh://git@127.0.0.1/owner/name",
])("ADD of %s is refused as a Git repository, and nothing is downloaded", async (url) => {
  const hints: (string | undefined)[] = [];
  const fail = (what: string, hint?: string) => {
    hints.push(hint);
    return new Error(what) as never;
  };
  await expect(add(url, { fail })).rejects.toThrow("ADD of a Git repository is not supported");
  expect(hints).toEqual([expect.stringContaining("RUN git clone")]);
});

describe("an archive", () => {
  const TAR = layerTar([
    { path: "in/" },
    { path: "in/file", content: "x".repeat(5000), uid: 7, mode: 0o640 },
  ]);
  const WAYS = ["xz", "bzip2", "gzip", "zstd", "cat"];
  const pack = (program: string, content: Uint8Array) =>
    execFileSync(program, program === "cat" ? [] : ["-c"], { input: content });
  beforeAll(() => {
    for (const program of WAYS) writeFileSync(join(directory, `${program}.tar`), pack(program, TAR));
    writeFileSync(join(directory, "noise.gz"), pack("gzip", randomBytes(5000)));
    writeFileSync(join(directory, "cut.txz"), readFileSync(join(directory, "xz.tar")).subarray(0, -9));
    for (const program of WAYS.slice(0, -1)) {
      const cut = pack(program, randomBytes(5000)).subarray(0, 30);
      writeFileSync(join(directory, `${program}.cut`), cut);
    }
  });
  const content = async (file: AddedFile): Promise<Buffer> => {
    const pieces: Buffer[] = [];
    for await (const piece of file.tar({ uid: 1, gid: 2, mode: undefined, name: undefined }))
      pieces.push(Buffer.from(piece));
    return Buffer.concat(pieces);
  };
  const fresh = () => BuildContext.open(directory, join(directory, "Dockerfile"));

  test.each(WAYS)(
    "packed with %s is unpacked, unless it is to be left; a part of it is not",
    async (program) => {
      const name = `${program}.tar`;
      const [unpacked] = await addAll(await fresh(), [name], {});
      expect(unpacked!.isOneFile).toBe(false);
      expect((await content(unpacked!)).equals(TAR)).toBe(true);
      const { entry } = await add(name, { unpack: false });
      expect(Buffer.from(entry.path).toString()).toBe(name);
      const [copied] = await addAll(await fresh(), [name], { keyword: "COPY" });
      expect(copied!.isOneFile).toBe(true);
      expect(await copied!.digest()).not.toBe(await unpacked!.digest());
    },
  );

  test("of the network is unpacked if that is said, and what is none stays a file", async () => {
    served = readFileSync(join(directory, "xz.tar"));
    const { blobs } = imageLayout({ cacheDir: directory });
    const [file] = await addAll(context, [`${origin}/served`], {});
    expect(file!.isOneFile).toBe(true);
    await file!.close();
    const [unpacked] = await addAll(context, [`${origin}/served`], { unpack: true });
    expect((await content(unpacked!)).equals(TAR)).toBe(true);
    await unpacked!.close();
    const [text] = await addAll(context, [`${origin}/file`], { unpack: true });
    expect(text!.isOneFile).toBe(true);
    await text!.close();
    served = served.subarray(0, 30);
    await expect(addAll(context, [`${origin}/served`], { unpack: true })).rejects.toThrow(
      "cannot be unpacked",
    );
    expect(readdirSync(blobs)).toEqual([]);
  });

  test("that is damaged is an error, and what is packed and is no archive is a file", async () => {
    const here = await fresh();
    for (const program of WAYS.slice(0, -1)) {
      const name = `${program}.cut`;
      await expect(addAll(here, [name], {})).rejects.toThrow(
        `'${name}' cannot be unpacked: what is packed with ${program} is damaged`,
      );
      expect(await addAll(here, [name], { unpack: false })).toHaveLength(1);
    }
    expect((await addAll(here, ["noise.gz"], {}))[0]!.isOneFile).toBe(true);
    const [cut] = await addAll(here, ["cut.txz"], {});
    await expect(content(cut!)).rejects.toMatchObject({ code: "FILE_FAILED" });
  });
});

test("what is missing is refused, also where it is above the context", async () => {
  writeFileSync(join(directory, "..", "smolvm-add-above"), "");
  await expect(add("../smolvm-add-above")).rejects.toThrow("is not in");
  await expect(add("missing")).rejects.toThrow("is not in");
});
