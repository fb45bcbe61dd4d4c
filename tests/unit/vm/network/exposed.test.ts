import { expect, test } from "vitest";
import { exposedForwards } from "../../../../src/vm/network/exposed.ts";

const image = (...exposedPorts: string[]) => ({ image: "x", imageSays: { exposedPorts, labels: {} } });

test("all that an image exposes are its TCP ports that are not forwarded by name", () => {
  const spec = image("53/udp", "80/tcp", "443/tcp", "0/tcp", "70000/tcp");
  expect(exposedForwards(spec, { publishAll: true, ports: [{ guestPort: 80, hostPort: 8080 }] })).toEqual([
    { guestPort: 443 },
  ]);
  expect(exposedForwards(spec, {})).toEqual([]);
  expect(exposedForwards({ image: "debian", imageSays: undefined }, { publishAll: true })).toEqual([]);
});

test("more than a sandbox can have are refused", () => {
  const many = image(...Array.from({ length: 65 }, (_, index) => `${index + 1}/tcp`));
  expect(() => exposedForwards(many, { publishAll: true })).toThrow(
    expect.objectContaining({ code: "CONFIG_INVALID", hint: expect.stringContaining("-p GUEST") }),
  );
});
