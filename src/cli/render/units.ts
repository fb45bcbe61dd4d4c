/** `512` -> "512M", `2048` -> "2G", `1536` -> "1.5G". Pure. */
export function formatMib(mib: number): string {
  if (mib < 1024) return `${mib}M`;
  return `${Number((mib / 1024).toFixed(1))}G`;
}

/** `1536` bytes -> "1.5K". Pure. */
export function formatBytes(bytes: number): string {
  let value = bytes;
  for (const unit of ["B", "K", "M", "G"]) {
    if (value < 1024)
      return `${unit === "B" || value >= 100 ? Math.round(value) : Number(value.toFixed(1))}${unit}`;
    value /= 1024;
  }
  return `${Number(value.toFixed(1))}T`;
}

/** "8s", "12m", "3h 5m", "2d 4h": the two largest units that say something. Pure. */
export function formatUptime(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  if (seconds < 60) return `${seconds}s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes}m`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return minutes % 60 === 0 ? `${hours}h` : `${hours}h ${minutes % 60}m`;
  const days = Math.floor(hours / 24);
  return hours % 24 === 0 ? `${days}d` : `${days}d ${hours % 24}h`;
}

/** A forwarded port, as it is asked for: "127.0.0.1:8080->80". */
export function formatPort(port: {
  readonly hostAddress: string;
  readonly hostPort: number;
  readonly guestPort: number;
}): string {
  const address = port.hostAddress.includes(":") ? `[${port.hostAddress}]` : port.hostAddress;
  return `${address}:${port.hostPort}->${port.guestPort}`;
}
