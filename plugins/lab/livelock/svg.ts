/**
 * The same as a picture: goodput against offered load as SVG, without a library: a polyline for each mode.
 */
import { curve, MODE_TITLES, modesOf, shortNumber, tickStep } from "./plot.ts";
import type { LivelockMode, LivelockRow } from "./run.ts";

const WIDTH = 800;
const HEIGHT = 480;
const LEFT = 80;
const RIGHT = 24;
const TOP = 56;
const BOTTOM = 64;
/** Told apart without colours, too: by their dashes. Colours of Okabe and Ito. */
const STROKE: Readonly<Record<LivelockMode, { color: string; dash: string }>> = {
  interrupt: { color: "#d55e00", dash: "" },
  napi: { color: "#e69f00", dash: "6 4" },
  moderated: { color: "#009e73", dash: "" },
};

/**
 * The curves as an SVG document. No rows: only the axes.
 *
 * @example
 * ```ts
 * import { assert } from "@std/assert";
 * import { livelock, svg } from "@netpath/stack/livelock";
 *
 * const rows = livelock({ modes: ["napi"], loads: [50_000, 100_000], seconds: 0.005 });
 * assert(svg(rows).startsWith("<svg "));
 * ```
 */
export function svg(rows: readonly LivelockRow[]): string {
  const maxX = Math.max(1, ...rows.map((r) => r.offered));
  const maxY = Math.max(1, ...rows.map((r) => r.delivered)) * 1.05;
  const px = (x: number): number => round(LEFT + x / maxX * (WIDTH - LEFT - RIGHT));
  const py = (y: number): number => round(HEIGHT - BOTTOM - y / maxY * (HEIGHT - TOP - BOTTOM));
  const out = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" height="${HEIGHT}"` +
    ` font-family="sans-serif" font-size="13" role="img">`,
    "<title>Receive livelock: datagrams read per second against datagrams offered</title>",
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="#fff"/>`,
    ...grid(maxX, maxY, px, py),
    // What a CPU without limits would read.
    path([[0, 0], [Math.min(maxX, maxY), Math.min(maxX, maxY)]], px, py, "#999", "2 4"),
  ];
  for (const mode of modesOf(rows)) {
    const points = curve(rows, mode);
    const { color, dash } = STROKE[mode];
    out.push(path(points.map(({ x, y }) => [x, y]), px, py, color, dash));
    for (const { x, y } of points) out.push(`<circle cx="${px(x)}" cy="${py(y)}" r="3" fill="${color}"/>`);
  }
  out.push(...legend(modesOf(rows)), "</svg>", "");
  return out.join("\n");
}

type Scale = (value: number) => number;

const round = (n: number): number => Math.round(n * 10) / 10;

function path(points: [number, number][], px: Scale, py: Scale, color: string, dash: string): string {
  const at = points.map(([x, y]) => `${px(x)},${py(y)}`).join(" ");
  const dashes = dash === "" ? "" : ` stroke-dasharray="${dash}"`;
  return `<polyline points="${at}" fill="none" stroke="${color}" stroke-width="2"${dashes}/>`;
}

function text(x: number, y: number, anchor: "start" | "middle" | "end", words: string, more = ""): string {
  return `<text x="${x}" y="${y}" text-anchor="${anchor}" fill="#333"${more}>${words}</text>`;
}

function grid(maxX: number, maxY: number, px: Scale, py: Scale): string[] {
  const out: string[] = [];
  const line = (x1: number, y1: number, x2: number, y2: number): void =>
    void out.push(`<line x1="${x1}" y1="${y1}" x2="${x2}" y2="${y2}" stroke="#ddd"/>`);
  const stepX = tickStep(maxX, 8);
  for (let i = 0; i * stepX <= maxX; i++) {
    line(px(i * stepX), py(0), px(i * stepX), TOP);
    out.push(text(px(i * stepX), HEIGHT - BOTTOM + 20, "middle", shortNumber(i * stepX)));
  }
  const stepY = tickStep(maxY, 7);
  for (let i = 0; i * stepY <= maxY; i++) {
    line(LEFT, py(i * stepY), WIDTH - RIGHT, py(i * stepY));
    out.push(text(LEFT - 8, py(i * stepY) + 4, "end", shortNumber(i * stepY)));
  }
  const middle = (HEIGHT - BOTTOM + TOP) / 2;
  out.push(
    text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 18, "middle", "datagrams offered per second"),
    text(20, middle, "middle", "datagrams read per second", ` transform="rotate(-90 20 ${middle})"`),
  );
  return out;
}

function legend(modes: readonly LivelockMode[]): string[] {
  return modes.flatMap((mode, i) => {
    const x = LEFT + i * 220;
    const { color, dash } = STROKE[mode];
    const dashes = dash === "" ? "" : ` stroke-dasharray="${dash}"`;
    return [
      `<line x1="${x}" y1="28" x2="${x + 32}" y2="28" stroke="${color}" stroke-width="2"${dashes}/>`,
      text(x + 40, 32, "start", MODE_TITLES[mode]),
    ];
  });
}
