/**
 * Prints what one kernel configuration has and another has not, one option a line: the raw material of the list of what
 * the trimmed kernel lacks (docs/kernel.md).
 *
 *   node kernel/compare.ts DEBIAN_CONFIG OUR_CONFIG
 *
 * Debian's comes from the package linux-config-6.1 (usr/src/linux-config-6.1/config.amd64_none_cloud-amd64.xz); ours is the
 * file `config` of a built kernel.
 */
import { readFileSync } from "node:fs";
import { parseConfig } from "../src/images/kernel-build/fragment.ts";

const [theirs, ours] = process.argv.slice(2).map((path) => parseConfig(readFileSync(path, "utf8")));
if (theirs === undefined || ours === undefined) {
  console.error("usage: node kernel/compare.ts DEBIAN_CONFIG OUR_CONFIG");
  process.exit(2);
}
/** What a kernel's build finds out by itself, and drivers of hardware that no guest here has. */
const NOISE =
  /^CONFIG_(HAVE_|ARCH_|CC_|GCC_|AS_|LD_|GENERIC_|PAHOLE_|.*_(DEBUG|SELFTEST|PCI)$|(USB|SND|DRM|FB|HID|INPUT|MEDIA|DVB|WLAN|I2C|SPI|MTD|LEDS|HWMON|SENSORS|SCSI|ATA|SATA|PATA|NVME|INFINIBAND|MLX|IWL|PCI|PCIE|HYPERV|XEN|VMWARE|EFI|CPU_FREQ|THERMAL|ACPI|INTEL|AMD|NET_VENDOR)(_|$))/;

const lacking = [...theirs.keys()].filter((option) => !ours.has(option) && !NOISE.test(option));
console.log(lacking.sort().join("\n"));
