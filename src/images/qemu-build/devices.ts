import { SmolVMError } from "../../errors.ts";

/**
 * Looks whether a QEMU has the devices and machines that it should have, and no others: each is a door.
 * @param expected lines "device NAME" and "machine NAME"
 * @param devices what `-device help` printed
 * @param machines what `-M help` printed
 * @throws SmolVMError IMAGE_BUILD_FAILED, with all differences
 */
export function checkDevices(expected: readonly string[], devices: string, machines: string): void {
  const found = listed(devices, machines);
  const more = found.filter((name) => !expected.includes(name));
  const less = expected.filter((name) => !found.includes(name));
  if (more.length + less.length === 0) return;
  const words = [...more.map((name) => `more: ${name}`), ...less.map((name) => `missing: ${name}`)];
  throw new SmolVMError(
    "IMAGE_BUILD_FAILED",
    `this QEMU has other devices than it should:\n  ${words.join("\n  ")}`,
    {
      hint: "Each device is there for a reason that qemu/README.md tells; what came by itself has to be switched off.",
      details: { more, missing: less },
    },
  );
}

/** The devices (CPU models are none) and machines of a QEMU, as the recipe names them. Pure. */
export function listed(devices: string, machines: string): string[] {
  const names = [...devices.matchAll(/^name "([^"]+)"/gm)].map((match) => match[1]!);
  const kinds = machines
    .split("\n")
    .slice(1)
    .map((line) => line.split(/\s/)[0]!)
    .filter((name) => name !== "");
  return [
    ...names.filter((name) => !name.endsWith("-cpu")).map((name) => `device ${name}`),
    ...kinds.map((name) => `machine ${name}`),
  ].sort();
}
