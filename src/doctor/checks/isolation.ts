import { BACKEND_FEATURES } from "../../backends/features.ts";
import { userNamespaceRefusal } from "../../host/user-namespaces.ts";
import { networkNote } from "../../network/plan.ts";
import { type Check, pass, warn } from "../check.ts";

/** What stands between a guest and this host. */
export const isolation: Check = ({ accelerator, platform, root }) => {
  const name = "Isolation";
  if (accelerator === undefined) return undefined;
  const filter = platform === "linux" ? "a QEMU process with a seccomp filter" : "a QEMU process";
  const guarantee =
    accelerator === "tcg" ? "emulation is outside QEMU's security guarantee" : "hardware virtualization";
  const detail = `process: ${filter}; ${guarantee}; no jail yet`;
  if (root) {
    return warn(
      name,
      `${detail}; QEMU runs as root`,
      "Run smolvm as an ordinary user: what escapes a guest has its rights.",
    );
  }
  return pass(name, detail);
};

/** What guests reach by default. */
export const network: Check = ({ backend }) =>
  pass("Network", `open: ${networkNote("open", BACKEND_FEATURES[backend].networkCards[0])}`);

/** Images are built in a user namespace by those who are not root. */
export const userNamespaces: Check = async ({ platform, root }) => {
  const name = "User namespaces";
  if (platform !== "linux" || root) return undefined;
  const refusal = await userNamespaceRefusal();
  if (refusal === undefined) return pass(name, "available");
  return warn(name, `${refusal.reason} (images are built in one, unless by root)`, refusal.fix);
};
