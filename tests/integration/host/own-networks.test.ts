import { expect, test } from "vitest";
import { fakeHost } from "../../helpers/fake-host.ts";

test("addresses without a cable and ranges that lead to the host are its own, and a transparent proxy's route is not", async () => {
  const { stdout, stderr } = await fakeHost(`
    ip link set lo up
    ip link add unplugged type bridge; ip address add 11.22.33.55/32 dev unplugged
    ip link add cable type veth peer name other
    ip address add 93.184.216.99/24 dev cable; ip address add 2606:2800::99/64 nodad dev cable; ip link set cable up
    ip route add local 203.0.114.0/24 dev lo; ip route add local 2606:2802::/64 dev lo
    ip route add local 0.0.0.0/0 dev lo table 100; ip route add local ::/0 dev lo table 100
    cat >/run/own.mjs <<'JS'
import { ownNetworks } from "/checkout/src/host/own-networks.ts";
import { formatIp } from "/checkout/src/util/ip-address.ts";
console.log([...new Set(ownNetworks().map(({ address, prefix }) => formatIp(address) + "/" + prefix))].sort().join(" "));
JS
    /run/node --no-warnings /run/own.mjs`);
  expect(stderr).toBe("");
  expect(stdout).toBe(
    "11.22.33.55/32 127.0.0.0/8 127.0.0.1/32 203.0.114.0/24 2606:2800::99/128 2606:2802::/64 93.184.216.99/32 ::1/128\n",
  );
});
