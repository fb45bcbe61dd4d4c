import { BACKEND_FEATURES } from "../../backends/features.ts";
import { userNamespaceRefusal } from "../../host/user-namespaces.ts";
import { tierNote } from "../../isolation/note.ts";
import { networkNote } from "../../network/plan.ts";
import { type Check, pass, warn } from "../check.ts";

/** What stands between a guest and this host, and why not more. */
export const isolation: Check = ({ accelerator, backend, isolation: plan, platform, root }) => {
  const name = "Isolation";
  if (backend === "qemu" && accelerator === undefined) return undefined; // nothing would run
  const { tier, whyNotNext } = plan;
  const guarantee = accelerator === "tcg" ? "" : "; hardware virtualization";
  const note = `${tier}: ${tierNote(plan, backend, accelerator ?? "kvm")}${guarantee}`;
  const detail = whyNotNext === undefined ? note : `${note}; not more, because ${whyNotNext.reason}`;
  if (tier !== "none" || platform !== "linux") return pass(name, detail);
  if (whyNotNext?.fix !== undefined) return warn(name, detail, whyNotNext.fix);
  return root
    ? warn(name, detail, "Run smolvm as an ordinary user: what escapes a guest has its rights.")
    : warn(name, detail);
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
