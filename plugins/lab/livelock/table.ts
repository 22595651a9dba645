/**
 * The rows as a table of text.
 */
import type { LivelockRow } from "./run.ts";

/** Column by column: its head, and what stands in it. */
const COLUMNS: readonly (readonly [head: string, of: (row: LivelockRow) => string])[] = [
  ["mode", (r) => r.mode],
  ["offered", (r) => `${r.offered}`],
  ["read", (r) => `${r.delivered}`],
  ["irqs", (r) => `${r.irqs}`],
  ["ring", (r) => `${r.drops.ring}`],
  ["backlog", (r) => `${r.drops.backlog}`],
  ["socket", (r) => `${r.drops.socket}`],
  ["irq%", (r) => r.cpu.hardirq.toFixed(1)],
  ["softirq%", (r) => r.cpu.softirq.toFixed(1)],
  ["ksoftirqd%", (r) => r.cpu.ksoftirqd.toFixed(1)],
  ["app%", (r) => r.cpu.app.toFixed(1)],
  ["idle%", (r) => r.cpu.idle.toFixed(1)],
  ["squeeze", (r) => `${r.timeSqueeze}`],
  ["wakes", (r) => `${r.ksoftirqdWakes}`],
];

/**
 * One line for each row: rates per second, datagrams lost by place, who had the CPU.
 *
 * @example
 * ```ts
 * import { assertMatch } from "@std/assert";
 * import { livelock, table } from "@netpath/stack/livelock";
 *
 * const text = table(livelock({ modes: ["napi"], loads: [50_000], seconds: 0.005 }));
 * assertMatch(text.split("\n")[0], /^mode +offered +read +irqs +ring +backlog +socket +irq% /);
 * ```
 */
export function table(rows: readonly LivelockRow[]): string {
  const cells = [COLUMNS.map(([head]) => head), ...rows.map((row) => COLUMNS.map(([, of]) => of(row)))];
  const widths = COLUMNS.map((_, i) => Math.max(...cells.map((line) => line[i].length)));
  const padded = (line: string[]): string =>
    line.map((text, i) => i === 0 ? text.padEnd(widths[i]) : text.padStart(widths[i])).join("  ");
  return cells.map(padded).join("\n");
}
