import { type Measurement, percentile } from "./stats.ts";

const WIDTH = 760;
/** where the scale begins, and ends */
const LEFT = 20;
const RIGHT = WIDTH - 20;
/** Height of a measurement: its name, ours, the floor, the scale. */
const PANEL = 92;

/**
 * Each measurement as two strips on one scale from 0: every sample a dot, the median a line. What is beyond four times the larger
 * median is drawn at the edge, as a cross. Pure.
 */
export function renderPlot(measured: readonly Measurement[], note: string): string {
  const panels = measured.map((measurement, index) => panel(measurement, index * PANEL + 10));
  const height = measured.length * PANEL + 30;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="sans-serif" font-size="12">`,
    `<title>${measured.map(({ row }) => `Row ${row.row}`).join(", ")}: each sample of ours and of the floor</title>`,
    `<rect width="${WIDTH}" height="${height}" fill="#fff"/>`,
    ...panels,
    text(LEFT, height - 10, `${note}. Upper strip: ours; lower: the floor; lines: medians.`, "#666"),
    "</svg>",
    "",
  ].join("\n");
}

function panel({ row, samples }: Measurement, top: number): string {
  const medians = [percentile(samples.ours, 0.5), percentile(samples.floor, 0.5)];
  const end = nice(Math.min(4 * Math.max(...medians), 1.05 * Math.max(...samples.ours, ...samples.floor)));
  const x = (value: number): number => LEFT + (Math.min(value, end) / end) * (RIGHT - LEFT);
  const strip = (values: readonly number[], y: number, colour: string): string[] => [
    ...values.map((value, index) => dot(x(value), y + ((index % 5) - 2) * 2.2, colour, value > end)),
    `<line x1="${x(percentile(values, 0.5)).toFixed(1)}" x2="${x(percentile(values, 0.5)).toFixed(1)}" y1="${y - 9}" y2="${y + 9}" stroke="${colour}" stroke-width="2"/>`,
  ];
  const ticks = [0, 0.25, 0.5, 0.75, 1].map((part) => part * end);
  return [
    text(
      LEFT,
      top + 12,
      `${row.row}  ${row.name}: ${row.ours.toFixed(1)} ${row.unit}, floor ${row.floor.toFixed(1)}, ratio ${row.ratio.toFixed(2)} (n ${row.n}; goal ${row.goal})`,
      "#000",
    ),
    ...strip(samples.ours, top + 30, "#0a58ca"),
    ...strip(samples.floor, top + 52, "#8a8a8a"),
    `<line x1="${LEFT}" x2="${RIGHT}" y1="${top + 66}" y2="${top + 66}" stroke="#bbb"/>`,
    ...ticks.map((value) => text(x(value), top + 79, trim(value), "#666", "middle")),
  ].join("\n");
}

function dot(x: number, y: number, colour: string, isBeyond: boolean): string {
  if (!isBeyond)
    return `<circle cx="${x.toFixed(1)}" cy="${y.toFixed(1)}" r="2.2" fill="${colour}" fill-opacity="0.45"/>`;
  return `<path d="M${(x - 3).toFixed(1)} ${(y - 3).toFixed(1)}l6 6m0 -6l-6 6" stroke="${colour}"/>`;
}

function text(x: number, y: number, words: string, colour: string, anchor = "start"): string {
  const safe = words.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
  return `<text x="${x.toFixed(1)}" y="${y}" fill="${colour}" text-anchor="${anchor}">${safe}</text>`;
}

/** The least of 1, 2, 2.5, 5 times a power of ten that is not below a value. */
function nice(value: number): number {
  const power = 10 ** Math.floor(Math.log10(Math.max(value, 1e-9)));
  return [1, 2, 2.5, 5, 10].map((step) => step * power).find((step) => step >= value)!;
}

function trim(value: number): string {
  return String(Number(value.toPrecision(3)));
}
