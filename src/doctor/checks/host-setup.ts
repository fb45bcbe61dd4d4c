import { makeTaps, tapPool } from "../../host/linux/taps.ts";
import { findProgram, SYSTEM_DIRECTORIES } from "../../host/process/find-program.ts";
import { userName } from "../../host/process/user-name.ts";
import { setupCommand } from "../../host/setup/setup-command.ts";
import { membership, RUNTIME_GROUP, setupState } from "../../host/setup/setup-state.ts";
import { type Check, fail, pass, warn } from "../check.ts";

/** The programs with which taps and their packet filter are made; QEMU's user-mode network needs neither. */
export const networkTools: Check = ({ platform, backend, env }) => {
  const name = "Network tools";
  if (platform !== "linux" || (backend !== "firecracker" && setupState().runtime === undefined))
    return undefined;
  const missing = ["ip", "nft"].filter(
    (tool) => findProgram(tool, env.path, SYSTEM_DIRECTORIES) === undefined,
  );
  if (missing.length === 0) return pass(name, "ip, nft");
  return fail(name, `${missing.join(" and ")} not found`, setupCommand());
};

/** Whether what needs root has been done, so that run time needs none. */
export const sudoAccess: Check = ({ platform, backend }) => {
  const name = "Sudo access";
  const state = setupState();
  if (platform !== "linux" || (backend !== "firecracker" && !state.done)) return undefined;
  if (process.getuid?.() === 0) return pass(name, "configured (root; run time needs none)");
  if (!state.done) return warn(name, "this machine was not set up", setupCommand(["--configure-runtime"]));
  const { listed, active } = membership(userName(), RUNTIME_GROUP);
  if (active) return pass(name, "configured (run time needs none)");
  return listed
    ? warn(
        name,
        `you have joined the group ${RUNTIME_GROUP} since this session began`,
        `newgrp ${RUNTIME_GROUP}`,
      )
    : warn(name, `you are not in the group ${RUNTIME_GROUP}`, setupCommand());
};

/** The taps that the set-up made: are they there, and ours? */
export const taps: Check = ({ platform, backend }) => {
  const { runtime } = setupState();
  if (platform !== "linux" || (runtime === undefined && backend !== "firecracker")) return undefined;
  const name = "Taps";
  const pool = tapPool();
  if ("reason" in pool) return (runtime?.tapUser === userName() ? fail : warn)(name, pool.reason, pool.hint);
  const detail = `${pool.taps.length} of ${pool.wanted}`;
  return pool.taps.length < pool.wanted ? fail(name, `${detail} are there`, makeTaps()) : pass(name, detail);
};
