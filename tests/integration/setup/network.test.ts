import { expect, test } from "vitest";
import { fakeHost, part } from "../../helpers/fake-host.ts";
import { INTERNET } from "../../helpers/internet.ts";

/** Two guests without a machine: what VMMs do with their taps, and network namespaces. */
const GUESTS = `
start python3 /checkout/tests/helpers/tap-guest.py smolvm0 guest0 10.213.0.2 10.213.0.1
start python3 /checkout/tests/helpers/tap-guest.py smolvm1 guest1 10.213.1.2 10.213.1.1
start ip netns exec guest1 python3 /run/serve.py
`;

test("a guest on a tap reaches the public internet as this machine, and nothing else, and nothing reaches it", async () => {
  const { stdout, stderr } = await fakeHost(`${INTERNET} ${GUESTS}
    ip -n guest0 addr add 10.213.0.9/32 dev eth0; ip route add 10.213.0.9/32 dev smolvm0 # a source that is not its own
    questions() {
      ask guest0 93.184.216.34
      ask guest0 10.99.0.1
      ask guest0 169.254.169.254
      ask guest0 10.213.0.1
      ask guest0 93.184.216.1
      ask guest0 10.213.1.2
      ask guest0 93.184.216.34 10.213.0.9
      ask internet 10.213.1.2
      ask here 10.213.1.2
    }
    echo "== filtered"; questions
    nft delete table inet smolvm
    echo "== open"; questions`);
  expect(stderr).toBe("");
  expect(part(stdout, "filtered").trimEnd().split("\n")).toEqual([
    "guest0 93.184.216.34: 93.184.216.1",
    "guest0 10.99.0.1: nothing",
    "guest0 169.254.169.254: nothing",
    "guest0 10.213.0.1: nothing",
    "guest0 93.184.216.1: nothing",
    "guest0 10.213.1.2: nothing",
    "guest0 93.184.216.34 10.213.0.9: nothing",
    "internet 10.213.1.2: nothing",
    "here 10.213.1.2: nothing",
  ]);
  // It is the filter: without it, all of that is reached.
  expect(part(stdout, "open")).not.toContain("nothing");
});
