import { SmolVMError } from "../../errors.ts";
import type { Deadline } from "../../util/deadline.ts";
import { DEBIAN_SUITE } from "./apt.ts";
import { runTool } from "./tools.ts";

/**
 * Address of the Debian archive that this host's own apt uses for the release that images are made of: whoever set the
 * host up knows best which mirror is near, and every byte is checked against Debian's signatures wherever it comes from.
 * @throws SmolVMError DEPENDENCY_MISSING, IMAGE_BUILD_FAILED: this host's apt knows no archive of that release
 */
export async function hostMirror(deadline: Deadline): Promise<string> {
  const format = "$(REPO_URI) $(CODENAME) $(COMPONENT)";
  const { stdout } = await runTool("apt-get", ["indextargets", "--format", format, "Created-By: Packages"], {
    deadline,
  });
  const mirror = mirrorIn(stdout);
  if (mirror !== undefined) return mirror;
  throw new SmolVMError("IMAGE_BUILD_FAILED", `this host's apt has no archive of Debian ${DEBIAN_SUITE}`, {
    hint: "Name a Debian archive: smolvm image build NAME --mirror URL",
  });
}

/** The archive with the release's main component in `apt-get indextargets` output of "URI CODENAME COMPONENT" lines. Pure. */
export function mirrorIn(targets: string): string | undefined {
  for (const line of targets.split("\n")) {
    const [uri, codename, component] = line.split(" ");
    if (uri && codename === DEBIAN_SUITE && component === "main") return uri.replace(/\/+$/, "");
  }
  return undefined;
}
