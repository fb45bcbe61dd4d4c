import { expect, test } from "vitest";
import { GuestFiles } from "../../../../src/agent/files/guest-files.ts";

/** Files of a sandbox that nobody may reach: what is wrong is told before. */
const files = new GuestFiles(() => Promise.reject(new Error("it was reached")));

const CALLS: Record<keyof GuestFiles, (options: never) => Promise<unknown>> = {
  read: (options) => files.read("/f", options),
  readText: (options) => files.readText("/f", options),
  readStream: (options) => files.readStream("/f", options),
  write: (options) => files.write("/f", "", options),
  writeStream: (options) => files.writeStream("/f", options),
  writeMany: (options) => files.writeMany([{ path: "/f", content: "" }], options),
  list: (options) => files.list("/f", options),
  stat: (options) => files.stat("/f", options),
  exists: (options) => files.exists("/f", options),
  mkdir: (options) => files.mkdir("/f", options),
  remove: (options) => files.remove("/f", options),
  copy: (options) => files.copy("/f", "/g", options),
  rename: (options) => files.rename("/f", "/g", options),
  upload: (options) => files.upload("f", "/f", options),
  download: (options) => files.download("/f", "f", options),
  uploadTar: (options) => files.uploadTar((async function* () {})(), "/f", options),
  downloadTar: (options) => files.downloadTar("/f", options),
  watch: (options) => files.watch("/f", options),
};

test.each(Object.entries(CALLS))("%s refuses an option that it would ignore", async (_name, call) => {
  await expect(call({ timeout: 5000 } as never)).rejects.toMatchObject({
    code: "CONFIG_INVALID",
    message: "unknown option 'timeout'",
    hint: "Did you mean 'timeoutMs'?",
  });
  await expect(call({ user: "nobody", timeoutMs: undefined } as never)).rejects.toThrow("it was reached");
});

test.each(Object.entries(CALLS))("%s refuses options that are none", async (_name, call) => {
  for (const options of [null, "nobody", 5, ["user"]]) {
    await expect(call(options as never)).rejects.toMatchObject({ code: "CONFIG_INVALID" });
  }
});
