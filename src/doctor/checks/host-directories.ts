import { processHost } from "../../backends/host.ts";
import { nativeProgram } from "../../host/package.ts";
import { isolationFacts } from "../../isolation/facts.ts";
import { fileServerBubblewrap } from "../../isolation/file-server.ts";
import { type Check, pass, warn } from "../check.ts";

/** Whether sandboxes can have directories of this host, and what keeps their server from the rest of it. */
export const hostDirectories: Check = async ({ platform }) => {
  const name = "Host directories";
  if (platform !== "linux") return pass(name, "not on this system: they can be copied (smolvm cp)");
  if (nativeProgram("files") === undefined)
    return warn(name, "their server (native/files) is not built", "Build it: scripts/build-native.sh");
  const found = fileServerBubblewrap(await isolationFacts(processHost()));
  if ("bubblewrap" in found)
    return pass(name, "served by a process that sees what is shared and nothing else");
  const { reason, fix } = found.refusal;
  return warn(
    name,
    `served by a process that sees this host's files, and opens nothing above what is shared; not better, because ${reason}`,
    fix,
  );
};
