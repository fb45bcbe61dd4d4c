import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type AddOptions, addedFiles } from "../../../src/builder/add.ts";
import { BuildContext } from "../../../src/builder/context.ts";
import { imageLayout } from "../../../src/images/store/layout.ts";
import { Deadline } from "../../../src/util/deadline.ts";
import { type TarEntry, TarReader } from "../../../src/util/tar/reader.ts";

const CONTENT = "of the network\n";
const DIGEST = `sha256:${createHash("sha256").update(CONTENT).digest("hex")}`;

let directory: string;
let context: BuildContext;
let server: Server;
let origin: string;
beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "smolvm-add-"));
  writeFileSync(join(directory, "bzip2.tar"), Buffer.from("425a6839", "hex"));
  context = await BuildContext.open(directory, join(directory, "Dockerfile"));
  server = createServer((request, response) => {
    if (request.url === "/moved") response.writeHead(302, { location: "/file" }).end();
    else if (request.url === "/round") response.writeHead(302, { location: "/round" }).end();
    else if (request.url === "/away") response.writeHead(302, { location: "ftp://x/" }).end();
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

async function add(
  source: string,
  more: Partial<AddOptions> = {},
): Promise<{ entry: TarEntry; content: string }> {
  const files = await addedFiles(context, [source], {
    dirs: { cacheDir: directory },
    keyword: "ADD",
    checksum: undefined,
    deadline: Deadline.of("adding", { timeoutMs: 10_000 }),
    fail: (what) => new Error(what) as never,
    mayReach: () => true,
    ...more,
  });
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
    await expect(add(`${origin}/round`)).rejects.toThrow("again and again");
    await expect(add(`${origin}/away`)).rejects.toThrow("redirected to ftp:");
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

test("an archive that cannot be unpacked is refused, and not copied as it is", async () => {
  await expect(add("bzip2.tar")).rejects.toThrow("packed with bzip2");
  await expect(add("../x")).rejects.toThrow("outside of the context");
  await expect(add("missing")).rejects.toThrow("is not in");
});
