/**
 * IPv4 ranges that are not of the public internet: private, link-local, shared, reserved and multicast addresses (RFC 6890,
 * https://www.iana.org/assignments/iana-ipv4-special-registry); a cloud's metadata address, 169.254.169.254, is in one. scripts/setup/network
 * has the same for taps.
 */
export const SPECIAL_IPV4: readonly string[] = [
  "0.0.0.0/8",
  "10.0.0.0/8",
  "100.64.0.0/10",
  "127.0.0.0/8",
  "169.254.0.0/16",
  "172.16.0.0/12",
  "192.0.0.0/24",
  "192.0.2.0/24",
  "192.88.99.0/24",
  "192.168.0.0/16",
  "198.18.0.0/15",
  "198.51.100.0/24",
  "203.0.113.0/24",
  "224.0.0.0/3",
];

/**
 * Where clouds tell a machine who it is, and with which keys: also at addresses that are public (Azure's 168.63.129.16), or private ones where those are
 * open (Alibaba's). scripts/setup/network has the same for taps.
 */
export const METADATA_IPV4: readonly string[] = [
  "100.100.100.200",
  "168.63.129.16",
  "169.254.169.254",
  "169.254.170.2",
  "169.254.170.23",
];
