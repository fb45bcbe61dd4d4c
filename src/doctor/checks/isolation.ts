import { BACKEND_FEATURES } from "../../backends/features.ts";
import { processHost } from "../../backends/host.ts";
import type { UserNetworkWay } from "../../config/spec.ts";
import { userNamespaceRefusal } from "../../host/linux/user-namespaces.ts";
import { nativeProgram } from "../../host/package.ts";
import { setupState } from "../../host/setup/setup-state.ts";
import { limitWords } from "../../isolation/limits.ts";
import { tierNote } from "../../isolation/note.ts";
import { plannedLimits } from "../../isolation/tier.ts";
import { networkNote } from "../../network/plan.ts";
import { bestWay } from "../../network/user-network.ts";
import { type Check, pass, warn } from "../check.ts";

/** What stands between a guest and this host, and why not more. */
export const isolation: Check = ({ accelerator, backend, isolation: plan, platform, root }) => {
  const name = "Isolation";
  if (backend === "qemu" && accelerator === undefined) return undefined; // nothing would run
  const { tier, whyNotNext } = plan;
  const host = { platform, hasNativeMonitor: nativeProgram("monitor") !== undefined };
  const guarantee = accelerator === "tcg" ? "" : "; hardware virtualization";
  const note = `${tier}: ${tierNote({ ...plan, limits: plannedLimits(plan) }, backend, accelerator ?? "kvm", host)}${guarantee}`;
  const detail = whyNotNext === undefined ? note : `${note}; not more, because ${whyNotNext.reason}`;
  if (tier !== "none" || platform !== "linux") return pass(name, detail);
  if (whyNotNext?.fix !== undefined) return warn(name, detail, whyNotNext.fix);
  return root
    ? warn(name, detail, "Run smolvm as an ordinary user: what escapes a guest has its rights.")
    : warn(name, detail);
};

/** What a sandbox may use of this host at most, where somebody else than root's cgroups sees to it. */
export const limits: Check = ({ isolation: { scopes, whyNotLimited } }) => {
  const name = "Limits";
  if (scopes === undefined && whyNotLimited === undefined) return undefined; // the tier tells
  const set = scopes?.limits ?? [];
  const by = `on ${limitWords(set)}, by your systemd manager`;
  if (whyNotLimited !== undefined) {
    const { reason, fix } = whyNotLimited;
    return warn(
      name,
      set.length === 0 ? `none, because ${reason}` : `${by}; not more, because ${reason}`,
      fix,
    );
  }
  const ending = "what is detached ends when you have logged out (to keep it: loginctl enable-linger)";
  return pass(name, scopes?.lingers ? by : `${by}; ${ending}`);
};

/** What guests reach by default, and what keeps them from the rest. */
export const network: Check = async ({ backend, platform }) => {
  const name = "Network";
  const card = BACKEND_FEATURES[backend].networkCards[0];
  const note = (way: UserNetworkWay | undefined): string =>
    `open: ${networkNote("open", card, way, setupState().runtime?.privateNetworks)}`;
  if (card !== "slirp") return pass(name, note(undefined));
  const transport = platform === "win32" ? "tcp" : "unix";
  const { way, whyNotNext } = await bestWay(processHost(), { transport });
  if (whyNotNext === undefined) return pass(name, note(way));
  const detail = `${note(way)}; not better, because ${whyNotNext.reason}`;
  return platform === "linux" ? warn(name, detail, whyNotNext.fix) : pass(name, detail);
};

/** Images are built in a user namespace by those who are not root. */
export const userNamespaces: Check = async ({ platform, root }) => {
  const name = "User namespaces";
  if (platform !== "linux" || root) return undefined;
  const refusal = await userNamespaceRefusal();
  if (refusal === undefined) return pass(name, "available");
  return warn(name, `${refusal.reason} (images are built in one, unless by root)`, refusal.fix);
};
