import { networkNote } from "../../network/plan.ts";
import { type Check, pass, warn } from "../check.ts";

/** What stands between a guest and this host. */
export const isolation: Check = ({ accelerator, platform }) => {
  const name = "Isolation";
  if (accelerator === undefined) return undefined;
  const filter = platform === "linux" ? "a QEMU process with a seccomp filter" : "a QEMU process";
  const guarantee =
    accelerator === "tcg" ? "emulation is outside QEMU's security guarantee" : "hardware virtualization";
  const detail = `process: ${filter}; ${guarantee}; no jail yet`;
  if (process.getuid?.() === 0) {
    return warn(
      name,
      `${detail}; QEMU runs as root`,
      "Run smolvm as an ordinary user: what escapes a guest has its rights.",
    );
  }
  return pass(name, detail);
};

/** What guests reach by default. */
export const network: Check = () => pass("Network", `open: ${networkNote("open")}`);
