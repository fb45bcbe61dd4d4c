import { type Measurement, type Samples, toRow } from "../stats.ts";

/** What is measured of a network: MiB/s to and from the guest, and ms until a connection's first answer. */
export interface NetworkSamples {
  readonly down: Samples;
  readonly up: Samples;
  readonly connect: Samples;
}

/** The rows of a network: its speed against the raw channel's, its connections against the guest's own loopback. */
export function networkRows(
  row: string,
  network: string,
  mib: number,
  { down, up, connect }: NetworkSamples,
): Measurement[] {
  const speed = { unit: "MiB/s", goal: ">= 0.5 x the raw channel" } as const;
  const delay = { unit: "ms", goal: "<= 8 x the guest's own loopback" } as const;
  const toGuest = { row, name: `${network}: ${mib} MiB to the guest`, ...speed };
  const fromGuest = { row, name: `${network}: ${mib} MiB from the guest`, ...speed };
  const answer = { row, name: `${network}: connection and answer`, ...delay };
  return [
    { samples: down, row: toRow(toGuest, down, ({ ratio }) => ratio >= 0.5) },
    { samples: up, row: toRow(fromGuest, up, ({ ratio }) => ratio >= 0.5) },
    { samples: connect, row: toRow(answer, connect, ({ ratio }) => ratio <= 8) },
  ];
}
