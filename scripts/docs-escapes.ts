import { CELLS as RESTRICTED, TRIES } from "../tests/contract/restricted-escapes.ts";
import type { Escapee, EscapeRuns, Try } from "../tests/helpers/escape-runs.ts";
import { CELLS as OPEN, triesOf, WAYS, type Way } from "../tests/integration/network/open-escapes.ts";

/** Each guest that tries, in the order of the page; each of them is to have a run. */
const ESCAPEES: readonly Escapee[] = [
  ...all("tap", true),
  ...WAYS.filter((way) => way !== "tap").flatMap((way) => all(way, false)),
  ...all("restricted", true),
  ...all("off", true),
];

function all(network: string, everywhere: boolean): Escapee[] {
  return [
    ...["tcg", "kvm"].map((accelerator) => ({ network, backend: "qemu", accelerator })),
    ...(everywhere ? [{ network, backend: "firecracker", accelerator: "kvm" }] : []),
  ];
}

/** What a guest tries there. */
function triesFor(network: string): readonly Try[] {
  return network === "restricted" ? TRIES : triesOf(network as Way | "off");
}

const PASSES = /^(reached|arrived)/;
const BY_NATURE = new Set(OPEN.filter(({ byNature }) => byNature).map(({ name }) => name));

const BEGIN = "<!-- Made by `npm run docs` from what runs have left in tests/escape-runs. -->\n";
const END = "\n<!-- End of what is made. -->";

/** docs/network.md with the table of who has tried, and what came of it, in the place that is marked for it. */
export function withEscapes(page: string, runs: EscapeRuns): string {
  const [before, rest] = page.split(BEGIN);
  const after = rest?.split(END)[1];
  if (before === undefined || after === undefined) throw new Error("the page has no place for the table");
  return `${before}${BEGIN}${summary(runs)}${END}${after}`;
}

function summary(runs: EscapeRuns): string {
  const rows = ESCAPEES.map((guest) => {
    const { network, backend, accelerator } = guest;
    const tries = triesFor(network);
    const held = tries.filter((one) => runs.held(guest, one));
    const passes = held.filter(({ outcome }) => PASSES.test(outcome));
    const nature = passes.filter(({ name }) => BY_NATURE.has(name)).length;
    const who = `${network === "tap" ? "a tap" : `\`${network}\``} | ${backend === "qemu" ? "QEMU" : "Firecracker"}, ${accelerator === "kvm" ? "KVM" : "emulated"}`;
    const date = runs.date(guest);
    if (date === undefined) return `| ${who} | not run | | | |`;
    const left = tries.length - held.length;
    return `| ${who} | ${date}${left === 0 ? "" : `, but for ${left}`} | ${held.length - passes.length} | ${passes.length - nature} | ${nature} |`;
  });
  const head =
    "| network | guest | tried | kept from it | passes, as it is promised | passes by nature |\n| --- | --- | --- | --- | --- | --- |";
  return [head, ...rows].join("\n");
}

/** " (not run)" if no guest of that network was held to it. */
function unless(runs: EscapeRuns, network: string, name: string): string {
  const one = triesFor(network).find((other) => other.name === name);
  if (one === undefined) return ""; // what is left out there says so itself
  const guests = ESCAPEES.filter((guest) => guest.network === network);
  return guests.some((guest) => runs.held(guest, one)) ? "" : " (not run)";
}

/** docs/open-escapes.md. */
export function openEscapes(runs: EscapeRuns): string {
  const rows = OPEN.map(({ name, outcome, byNature }) => {
    const cells = WAYS.map((way) => `${outcome[way]}${unless(runs, way, name)}`);
    return `| ${name} | ${cells.join(" | ")} |${byNature ? " by nature" : ""} |`;
  });
  return `# What an open network keeps from root of its guest

Made by \`npm run docs\` from what runs of \`tests/integration/network/open-escapes.test.ts\` have left, which hold a real guest to every line, on a machine with an internet, a LAN, a cloud's metadata
service and servers at all of its addresses. While it runs, what comes to any of them, and each packet that leaves, is looked at: all were this machine's own, to public addresses. [Which guests have tried, and when](network.md#what-was-tried).

Each column is a [way](network.md#who-sees-to-it) in which an open network is kept.

"No route" is said at once; "no answer" is what is dropped, or what libslirp does not tell its guest (\`namespace-slirp\`, \`process\`); "reset" is what the host decides at the \`door\`, where the guest has "no card" to send a packet by.
What is only sent is "lost", or has "arrived" on the internet. Through the door, and by nothing else, a public IPv6 address is reached. With \`network: "off"\` the same guest has no card and no route, and nothing of it was seen anywhere.

| root of the guest tries | a tap of the pool | \`namespace\` | \`namespace-slirp\` | \`door\` | \`process\` | |
| --- | --- | --- | --- | --- | --- | --- |
${rows.join("\n")}
`;
}

/** docs/restricted-escapes.md. */
export function restrictedEscapes(runs: EscapeRuns): string {
  const rows = RESTRICTED.map(({ name, outcome, event = "" }) => {
    const decided = event.replace(/: (.*)$/, ": `$1`");
    return `| ${name} | ${outcome}${unless(runs, "restricted", name)} | ${decided} |`;
  });
  return `# What a restricted network keeps from root of its guest

Made by \`npm run docs\` from what runs of \`tests/contract/restricted-escapes.test.ts\` have left, each with a real guest, whose rules are \`good.test\`, \`*.wild.test\` and the address of one server of this
machine. While it ran, a trap listened at all addresses of this machine, over TCP and UDP, and caught nothing; the name server was asked for allowed names alone, and the web server saw requests to the allowed host
alone. [How it works](network.md#a-restricted-network), and [which guests have tried, and when](network.md#what-was-tried).

Root may replace the guest's agent as well. What one that lies may tell the host (names that are addresses, in other letters, with a NUL, too long; addresses of the
host's, mapped and translated ones; ports that are none; thousands of connections that it never hands over) is tried by \`tests/integration/egress/lying-agent.test.ts\`: it gets what the rules allow, and nothing else.

| root of the guest tries | and sees | decided on the host |
| --- | --- | --- |
${rows.join("\n")}
`;
}
