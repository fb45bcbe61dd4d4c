import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { processPaths } from "../../../src/host/files/paths.ts";
import { removeImage } from "../../../src/images/store/store.ts";
import { cli } from "../../helpers/cli.ts";
import { startDockerRegistry } from "../../helpers/docker-registry.ts";
import { useTempHome } from "../../helpers/home.ts";

useTempHome();

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "smt-own-layers-"));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

test("an image of smolvm's own is saved and pushed as one layer, the same each time, and runs as what it was", async () => {
  const registry = await startDockerRegistry(join(directory, "registry"));
  const pulled = `${registry.host}/own/minimal:1`;
  try {
    const saved = await cli(["image", "save", "--json", "minimal", `oci:${directory}/layout:1`]);
    const { manifest } = JSON.parse(saved.text).data;
    const again = await cli(["image", "save", "--json", "minimal", `oci:${directory}/other:1`]);
    expect(JSON.parse(again.text).data.manifest).toBe(manifest);
    const pushed = await cli(["image", "push", "minimal", pulled]);
    expect(pushed.text).toBe(`${pulled}@${manifest}\n`);
    const words = ["--network", "off", "--memory", "256M", "--template", "off"];
    const run = await cli([
      "run",
      "-q",
      ...words,
      "--image",
      pulled,
      "--",
      "sh",
      "-c",
      "id -u; ls /bin/busybox",
    ]);
    expect(run.text).toBe("0\n/bin/busybox\n");
  } finally {
    await removeImage(processPaths(), pulled, "x86_64", () => []).catch(() => {}); // a failed test has not pulled it
    await registry.stop();
  }
});
