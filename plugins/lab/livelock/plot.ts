/**
 * Goodput against offered load, for a terminal.
 */
import { LIVELOCK_MODES, type LivelockMode, type LivelockRow } from "./run.ts";

/** How it looks. */
export interface PlotOptions {
  /** Columns in all, at least 40. Default 80. */
  width?: number;
  /** Lines of the plot, without axis and legend, at least 4. Default 16. */
  height?: number;
  /** ANSI colours. Default false. */
  color?: boolean;
}

/** What each mode is called in a legend. */
export const MODE_TITLES: Readonly<Record<LivelockMode, string>> = {
  interrupt: "an interrupt a frame",
  napi: "NAPI",
  moderated: "NAPI, moderated",
};

const GLYPH: Readonly<Record<LivelockMode, string>> = { interrupt: "×", napi: "○", moderated: "●" };
const ANSI: Readonly<Record<LivelockMode, string>> = { interrupt: "31", napi: "33", moderated: "32" };
const GUTTER = 7;

/** `600k`, `1.5M`. */
export function shortNumber(n: number): string {
  if (n >= 1e6) return `${Math.round(n / 1e5) / 10}M`;
  return n >= 1000 ? `${Math.round(n / 1000)}k` : `${Math.round(n)}`;
}

/** The distance of ticks from 0 to `max`: 1, 2 or 5 times a power of ten, at most `most` of them. */
export function tickStep(max: number, most: number): number {
  const power = 10 ** Math.floor(Math.log10(max / most));
  for (const times of [1, 2, 5]) if (max / (times * power) <= most) return times * power;
  return 10 * power;
}

/** The points of a mode by load. */
export function curve(rows: readonly LivelockRow[], mode: LivelockMode): { x: number; y: number }[] {
  return rows.filter((r) => r.mode === mode).map((r) => ({ x: r.offered, y: r.delivered })).sort((a, b) => a.x - b.x);
}

/** The modes of which there are rows. */
export function modesOf(rows: readonly LivelockRow[]): LivelockMode[] {
  return LIVELOCK_MODES.filter((mode) => rows.some((r) => r.mode === mode));
}

/**
 * The curves as text; no rows, no text.
 *
 * @example
 * ```ts
 * import { assertStringIncludes } from "@std/assert";
 * import { livelock, plot } from "@netpath/stack/livelock";
 *
 * const text = plot(livelock({ modes: ["interrupt"], loads: [100_000, 400_000, 600_000], seconds: 0.01 }));
 * assertStringIncludes(text, "×  an interrupt a frame");
 * ```
 */
export function plot(rows: readonly LivelockRow[], options: PlotOptions = {}): string {
  if (rows.length === 0) return "";
  const width = Math.max(40, options.width ?? 80) - GUTTER - 1;
  const height = Math.max(4, options.height ?? 16);
  const paint = (mode: LivelockMode, text: string): string =>
    options.color ? `\x1b[${ANSI[mode]}m${text}\x1b[0m` : text;
  const maxX = Math.max(...rows.map((r) => r.offered));
  const maxY = Math.max(1, ...rows.map((r) => r.delivered));
  const cells = Array.from({ length: height }, () => new Array<string>(width).fill(" "));
  const modes = modesOf(rows);
  // The first ones are drawn last: where curves meet, the worse is on top.
  for (const mode of modes.toReversed()) {
    draw(cells, curve(rows, mode), maxX, maxY, paint(mode, GLYPH[mode]));
  }
  const lines = ["datagrams read per second"];
  const marks = new Map(ticks(maxY, Math.max(2, height >> 2)).map((y) => [lineOf(y, maxY, height), shortNumber(y)]));
  cells.forEach((line, i) => {
    const label = marks.get(i) ?? "";
    lines.push(`${label.padStart(GUTTER - 1)} ${label === "" ? "│" : "┤"}${line.join("").trimEnd()}`);
  });
  lines.push(...axis(maxX, width));
  lines.push(modes.map((mode) => `${paint(mode, GLYPH[mode])}  ${MODE_TITLES[mode]}`).join("     "));
  return lines.join("\n");
}

function ticks(max: number, most: number): number[] {
  const step = tickStep(max, most);
  return Array.from({ length: Math.floor(max / step) + 1 }, (_, i) => i * step);
}

const lineOf = (y: number, maxY: number, height: number): number => height - 1 - Math.round(y / maxY * (height - 1));

/** Goes through the columns; a steep piece fills the lines between two of them, so that the curve has no holes. */
function draw(cells: string[][], points: { x: number; y: number }[], maxX: number, maxY: number, glyph: string): void {
  const width = cells[0].length;
  let before = -1;
  for (let column = 0; column < width; column++) {
    const y = at(points, column / (width - 1) * maxX);
    if (y === null) continue;
    const line = lineOf(y, maxY, cells.length);
    const from = before < 0 ? line : before + Math.sign(line - before);
    for (let l = Math.min(from, line); l <= Math.max(from, line); l++) cells[l][column] = glyph;
    before = line;
  }
}

/** Between two points on a straight line; null outside of them. */
function at(points: { x: number; y: number }[], x: number): number | null {
  const next = points.findIndex((p) => p.x >= x);
  if (next < 0) return null;
  const right = points[next];
  if (next === 0) return right.x === x ? right.y : null;
  const left = points[next - 1];
  return left.y + (right.y - left.y) * (x - left.x) / (right.x - left.x);
}

function axis(maxX: number, width: number): string[] {
  const line = new Array<string>(width).fill("─");
  const labels = new Array<string>(width + GUTTER).fill(" ");
  for (const x of ticks(maxX, Math.max(2, width >> 4))) {
    const column = Math.round(x / maxX * (width - 1));
    line[column] = "┴";
    const text = shortNumber(x);
    const start = Math.min(labels.length - text.length, Math.max(0, GUTTER + column - (text.length >> 1)));
    labels.splice(start, text.length, ...text);
  }
  const title = "datagrams offered per second";
  return [
    `${" ".repeat(GUTTER)}└${line.join("")}`,
    ` ${labels.join("").trimEnd()}`,
    " ".repeat(GUTTER + Math.max(0, (width - title.length) >> 1)) + title,
    "",
  ];
}
