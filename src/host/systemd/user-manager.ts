import { existsSync } from "node:fs";
import { isAbsolute, join } from "node:path";
import { SmolVMError } from "../../errors.ts";
import { Deadline } from "../../util/deadline.ts";
import { userName } from "../process/user-name.ts";
import { BusWriter, encodeCall, SYSTEMD_PATH } from "./dbus-codec.ts";
import { ANSWER_MS, ManagerClient } from "./manager-client.ts";

/**
 * The socket of the systemd manager that runs for this user, in $XDG_RUNTIME_DIR or where that is by default; undefined: there is
 * none. Whether somebody answers there is another question.
 */
export function userManagerSocket(xdgRuntimeDir: string | undefined): string | undefined {
  const directory =
    xdgRuntimeDir !== undefined && isAbsolute(xdgRuntimeDir)
      ? xdgRuntimeDir
      : `/run/user/${process.geteuid?.() ?? ""}`;
  const socket = join(directory, "systemd", "private");
  return existsSync(socket) ? socket : undefined;
}

/**
 * The cgroup (version 2) that a manager has to itself, e.g. "/user.slice/user-1000.slice/user@1000.service".
 * @throws SmolVMError HOST_FAILED, TIMEOUT: it does not answer
 */
export async function managerCgroup(socket: string): Promise<string> {
  const client = await ManagerClient.connect(socket);
  try {
    const answer = await client.call(
      (serial) =>
        encodeCall({
          serial,
          path: SYSTEMD_PATH,
          interface: "org.freedesktop.DBus.Properties",
          member: "Get",
          signature: "ss",
          body: new BusWriter().text("org.freedesktop.systemd1.Manager").text("ControlGroup").done(),
        }),
      Deadline.within(ANSWER_MS, "asking systemd"),
    );
    const [cgroup] = answer.texts;
    if (answer.type === "return" && cgroup?.startsWith("/")) return cgroup;
    throw new SmolVMError("HOST_FAILED", `systemd does not name its cgroup: ${answer.texts.join(" ")}`);
  } finally {
    client.close();
  }
}

/** Whether this user's manager stays when the user has logged out (loginctl enable-linger). */
export function userLingers(): boolean {
  return existsSync(join("/var/lib/systemd/linger", userName()));
}
