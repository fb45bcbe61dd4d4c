import { readFileSync } from "node:fs";

/** Things a user may have to install, by what they are for. */
export type Installable =
  | "qemu-x86_64"
  | "qemu-aarch64"
  | "qemu-img"
  | "mmdebstrap"
  | "squashfs-tools-ng"
  | "bubblewrap"
  | "passt"
  | "nftables"
  | "rust";

export type PackageManager = "apt" | "dnf" | "pacman" | "zypper" | "apk" | "brew" | "winget";

const COMMANDS: Readonly<Record<PackageManager, string>> = {
  apt: "sudo apt-get install -y",
  dnf: "sudo dnf install -y",
  pacman: "sudo pacman -S --needed",
  zypper: "sudo zypper install -y",
  apk: "sudo apk add",
  brew: "brew install",
  winget: "winget install",
};

const PACKAGES: Readonly<Record<Installable, Readonly<Partial<Record<PackageManager, string>>>>> = {
  "qemu-x86_64": {
    apt: "qemu-system-x86",
    dnf: "qemu-system-x86-core",
    pacman: "qemu-system-x86",
    zypper: "qemu-x86",
    apk: "qemu-system-x86_64",
    brew: "qemu",
    winget: "SoftwareFreedomConservancy.QEMU",
  },
  "qemu-aarch64": {
    apt: "qemu-system-arm",
    dnf: "qemu-system-aarch64-core",
    pacman: "qemu-system-aarch64",
    zypper: "qemu-arm",
    apk: "qemu-system-aarch64",
    brew: "qemu",
    winget: "SoftwareFreedomConservancy.QEMU",
  },
  "qemu-img": {
    apt: "qemu-utils",
    dnf: "qemu-img",
    pacman: "qemu-img",
    zypper: "qemu-img",
    apk: "qemu-img",
    brew: "qemu",
    winget: "SoftwareFreedomConservancy.QEMU",
  },
  mmdebstrap: { apt: "mmdebstrap" },
  "squashfs-tools-ng": { apt: "squashfs-tools-ng", dnf: "squashfs-tools-ng", apk: "squashfs-tools-ng" },
  bubblewrap: {
    apt: "bubblewrap",
    dnf: "bubblewrap",
    pacman: "bubblewrap",
    zypper: "bubblewrap",
    apk: "bubblewrap",
  },
  passt: { apt: "passt", dnf: "passt", pacman: "passt", zypper: "passt", apk: "passt" },
  nftables: { apt: "nftables", dnf: "nftables", pacman: "nftables", zypper: "nftables", apk: "nftables" },
  // Debian 12's plain rustc is too old.
  rust: {
    apt: "rustc-web cargo-web libstd-rust-web-dev",
    dnf: "rust cargo",
    pacman: "rust",
    zypper: "rust cargo",
    apk: "rust cargo",
    brew: "rust",
  },
};

/** The distribution's names: ID first, then ID_LIKE, from the text of os-release(5). Pure. */
export function osReleaseIds(osRelease: string): string[] {
  const value = (key: string): string[] => {
    const line = osRelease.split("\n").find((entry) => entry.startsWith(`${key}=`));
    return (line ?? "")
      .slice(key.length + 1)
      .replace(/^["']|["']$/g, "")
      .toLowerCase()
      .split(/\s+/)
      .filter((id) => id !== "");
  };
  return [...value("ID"), ...value("ID_LIKE")];
}

/** The package manager of a host. Pure. */
export function packageManager(platform: NodeJS.Platform, osRelease: string): PackageManager | undefined {
  if (platform === "darwin") return "brew";
  if (platform === "win32") return "winget";
  const byId: Readonly<Record<string, PackageManager>> = {
    debian: "apt",
    ubuntu: "apt",
    fedora: "dnf",
    rhel: "dnf",
    centos: "dnf",
    arch: "pacman",
    suse: "zypper",
    opensuse: "zypper",
    alpine: "apk",
  };
  for (const id of osReleaseIds(osRelease)) {
    const manager = byId[id] ?? (id.startsWith("opensuse") ? "zypper" : undefined);
    if (manager !== undefined) return manager;
  }
  return undefined;
}

/** The command that installs something on such a host, or undefined where we do not know one. Pure. */
export function installCommand(what: Installable, manager: PackageManager | undefined): string | undefined {
  const name = manager === undefined ? undefined : PACKAGES[what][manager];
  return manager === undefined || name === undefined ? undefined : `${COMMANDS[manager]} ${name}`;
}

/** A hint that ends in this host's install command: "Install it: sudo apt-get install -y qemu-system-x86". */
export function installHint(what: Installable): string {
  const command = installCommand(what, packageManager(process.platform, readOsRelease()));
  return command === undefined ? `Install ${what} with your package manager.` : `Install it: ${command}`;
}

/** The text of os-release(5), or "" where there is none. */
function readOsRelease(): string {
  for (const path of ["/etc/os-release", "/usr/lib/os-release"]) {
    try {
      return readFileSync(path, "utf8");
    } catch {
      // the next one, or not Linux
    }
  }
  return "";
}
