import { resolve } from "node:path";
import type { NetworkOptions, VMConfig } from "../../config/options.ts";
import { SmolVMError } from "../../errors.ts";
import type { Arguments } from "../arguments.ts";
import { parseDrive } from "./drive.ts";
import { parseDurationMs } from "./duration.ts";
import { parseLabels } from "./pairs.ts";
import { parsePort, parsePortForwards } from "./port.ts";
import { parseRules } from "./rules.ts";
import { parseSizeMib } from "./size.ts";
import { parseVolumes } from "./volume.ts";

/**
 * The library's options for what SANDBOX_OPTIONS say. Values are read here, and judged by the library.
 * @param env what --env and --env-file say
 * @throws SmolVMError USAGE
 */
export function sandboxConfig(args: Arguments, env: VMConfig["env"] | undefined): VMConfig {
  const config: VMConfig = {};
  const give = <K extends keyof VMConfig>(option: K, value: VMConfig[K] | undefined): void => {
    if (value !== undefined) config[option] = value;
  };
  const size = (flag: string): number | undefined => {
    const text = args.value(flag);
    return text === undefined ? undefined : parseSizeMib(`--${flag}`, text);
  };
  const file = (flag: string): string | undefined => {
    const path = args.value(flag);
    return path === undefined ? undefined : resolve(path);
  };
  const cpus = args.value("cpus");
  if (cpus !== undefined && !/^\d{1,9}$/.test(cpus)) {
    throw new SmolVMError("USAGE", `--cpus: '${cpus}' is not a whole number`, { hint: "Write --cpus 2" });
  }

  give("name", args.value("name"));
  give("backend", args.value("backend"));
  give("image", args.value("image"));
  give("pull", args.value("pull") as VMConfig["pull"]);
  give("arch", args.value("arch") as VMConfig["arch"]);
  give("vcpuCount", cpus === undefined ? undefined : Number(cpus));
  give("memSizeMib", size("memory"));
  give("diskSizeMib", size("disk"));
  give("env", env);
  give("hostname", args.value("hostname"));
  give("workdir", args.value("workdir"));
  give("user", args.value("user"));
  give("network", network(args));
  give("networkRateLimitMbps", rateLimit(args));
  give("qemuNetwork", args.value("qemu-network") as VMConfig["qemuNetwork"]);
  give("qemuMachine", args.value("machine") as VMConfig["qemuMachine"]);
  give("accelerator", args.value("accelerator") as VMConfig["accelerator"]);
  give("isolation", args.value("isolation") as VMConfig["isolation"]);
  give("template", args.value("template") as VMConfig["template"]);
  if (args.values("warm").length > 0) give("warm", args.values("warm"));
  const kernel = args.value("kernel");
  if (kernel === "debian" || kernel === "fast") give("kernel", kernel);
  else give("kernelPath", file("kernel"));
  give("initrdPath", file("initrd"));
  give("rootfsPath", file("rootfs"));
  give("gdbPort", gdbPort(args));
  give("diskMode", args.value("disk-mode") as VMConfig["diskMode"]);
  if (args.values("drive").length > 0)
    give(
      "extraDrives",
      args.values("drive").map((text) => parseDrive(text)),
    );
  if (args.values("volume").length > 0) give("mounts", parseVolumes(args));
  if (args.values("label").length > 0) give("labels", parseLabels(args.values("label")));
  const ttl = args.value("ttl");
  give("ttlMs", ttl === undefined ? undefined : parseDurationMs("--ttl", ttl, Number.POSITIVE_INFINITY));
  if (args.values("publish").length > 0) give("ports", parsePortForwards(args.values("publish")));
  if (args.flag("publish-all")) give("publishAll", true);
  give("init", args.value("init") as VMConfig["init"]);
  return config;
}

/** --network-rate-limit. @throws SmolVMError USAGE */
function rateLimit(args: Arguments): number | undefined {
  const text = args.value("network-rate-limit");
  if (text === undefined || /^\d{1,6}$/.test(text)) return text === undefined ? undefined : Number(text);
  throw new SmolVMError("USAGE", `--network-rate-limit: '${text}' is not a whole number`, {
    hint: "Write --network-rate-limit 10, in millions of bits a second",
  });
}

/**
 * --network, --allow and --deny. Rules mean a restricted network; that others have none is the library's to say.
 * @throws SmolVMError USAGE
 */
function network(args: Arguments): VMConfig["network"] {
  const mode = args.value("network") as NetworkOptions["mode"] | undefined;
  const { allow, deny } = parseRules(args);
  const unfiltered = args.flag("unfiltered");
  const hasRules = allow.length > 0 || deny.length > 0;
  if (!hasRules && !unfiltered) return mode;
  return {
    mode: mode ?? (hasRules ? "restricted" : "open"),
    ...(unfiltered ? { unfiltered } : {}),
    ...(allow.length === 0 ? {} : { allow }),
    ...(deny.length === 0 ? {} : { deny }),
  };
}

/** The port of --gdb. @throws SmolVMError USAGE */
export function gdbPort(args: Arguments): number | undefined {
  const port = args.value("gdb");
  return port === undefined ? undefined : parsePort("--gdb", port);
}

/** What --publish-all has not done: only TCP is forwarded. */
export function notPublished(ports: readonly string[]): string | undefined {
  const others = ports.filter((port) => !port.endsWith("/tcp"));
  if (ports.length === 0) return "the image exposes no ports";
  return others.length === 0 ? undefined : `not forwarded, because only TCP is: ${others.join(" ")}`;
}

/** What to type into gdb. */
export function gdbNote(port: number): string {
  return `gdb can connect, which halts the guest: target remote 127.0.0.1:${port}`;
}
