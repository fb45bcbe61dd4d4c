import { locateFirecracker, locateJailer, versionOf } from "../../backends/firecracker/locate.ts";
import { FIRECRACKER_VERSION, firecrackerRefusal } from "../../backends/firecracker/version.ts";
import { setupCommand } from "../../host/setup/setup-command.ts";
import { type Check, fail, pass, warn } from "../check.ts";

/** Firecracker, for those who use it. */
export const firecrackerBinary: Check = ({ backend, platform, env }) => {
  const name = "Firecracker binary";
  if (backend !== "firecracker" || platform !== "linux") return undefined;
  const path = locateFirecracker(env);
  if (path !== undefined) return pass(name, path);
  if (env.firecracker !== undefined) {
    return fail(
      name,
      `SMOLVM_FIRECRACKER is '${env.firecracker}', which is no such program`,
      "unset SMOLVM_FIRECRACKER",
    );
  }
  return fail(name, "firecracker not found", setupCommand());
};

/** Its version, and its jailer's. */
export const firecrackerVersion: Check = async ({ backend, platform, env }) => {
  const name = "Firecracker version";
  const path = backend === "firecracker" && platform === "linux" ? locateFirecracker(env) : undefined;
  if (path === undefined) return undefined;
  const version = await versionOf(path);
  if (version === undefined) return fail(name, `${path} does not say its version`, `${path} --version`);
  const refusal = firecrackerRefusal(version);
  if (refusal !== undefined && !env.allowOldFirecracker) return fail(name, refusal, setupCommand());
  const jailer = locateJailer(path, env);
  const detail = `${version}${refusal === undefined ? "" : " (SMOLVM_ALLOW_OLD_FIRECRACKER is set)"}`;
  if (jailer === undefined) return warn(name, `${detail}, without its jailer`, setupCommand());
  const jailers = await versionOf(jailer);
  return jailers === version
    ? pass(name, `${detail}, jailer ${jailers}`)
    : warn(
        name,
        `${detail}, and its jailer is ${jailers ?? "of no version"}: smolvm is tried with ${FIRECRACKER_VERSION} of both`,
        setupCommand(),
      );
};
