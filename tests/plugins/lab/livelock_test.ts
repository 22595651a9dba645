/** The livelock lab: the collapse, the plateau, the golden curve, and how it is drawn. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { main } from "../../../cli.ts";
import {
  livelock,
  type LivelockMode,
  type LivelockRow,
  plot,
  SERVER_CORE,
  svg,
  table,
} from "../../../plugins/lab/livelock/mod.ts";
import { shortNumber, tickStep } from "../../../plugins/lab/livelock/plot.ts";

const GOLDEN = new URL("livelock.txt", import.meta.url);

/** The curve, run once for all tests of this file. */
let known: LivelockRow[] | null = null;
const rows = (mode: LivelockMode): LivelockRow[] => (known ??= livelock()).filter((r) => r.mode === mode);
const peak = (of: LivelockRow[]): number => Math.max(...of.map((r) => r.delivered));
const total = (r: LivelockRow): number => r.drops.ring + r.drops.backlog + r.drops.socket;

Deno.test("[R4] livelock: with an interrupt a frame, goodput collapses: it peaks, falls, and is nothing at twice the peak", () => {
  const of = rows("interrupt");
  const top = of.findIndex((r) => r.delivered === peak(of));
  assert(of[top].delivered > 200_000);
  for (let i = 1; i < of.length; i++) {
    if (i <= top) assert(of[i].delivered > of[i - 1].delivered);
    else assert(of[i].delivered < of[i - 1].delivered || of[i].delivered === 0, `at ${of[i].offered}`);
  }
  for (const r of of.filter((r) => r.offered >= 2 * of[top].delivered)) {
    assertEquals(r.delivered, 0, `at ${r.offered}`);
    assertEquals([r.cpu.hardirq, r.cpu.app, r.cpu.idle], [100, 0, 0]);
    // The CPU can take no more interrupts than this; what is above is lost in the ring.
    assertEquals(r.irqs, 1e9 / SERVER_CORE.irq);
  }
  // Work was spent on each of the datagrams that the backlog lost.
  assert(of.at(-1)!.drops.backlog > 0);
});

Deno.test("[R5] livelock: with NAPI goodput is on a plateau: above its capacity a host reads as much as it ever can", () => {
  for (const mode of ["napi", "moderated"] as const) {
    const of = rows(mode);
    const over = of.filter((r) => r.offered > 1.1 * peak(of));
    assert(over.length >= 4);
    for (const r of over) {
      assert(r.delivered >= 0.98 * peak(of), `${mode} at ${r.offered}: ${r.delivered} of ${peak(of)}`);
    }
    // All of it is lost in the ring, before any work; ksoftirqd and the application share the CPU.
    for (const r of over) {
      assertEquals(total(r), r.drops.ring);
      assertEquals([r.irqs, r.cpu.hardirq, r.cpu.softirq], [0, 0, 0]);
      assert(r.cpu.ksoftirqd > 50 && r.cpu.app > 30 && r.cpu.idle < 1);
      assert(r.ksoftirqdWakes > 0);
    }
    assert(peak(of) > 2 * peak(rows("interrupt")));
  }
});

Deno.test("livelock: with moderation nothing is lost below the capacity; without, NAPI takes an interrupt for nearly each frame", () => {
  for (const r of rows("moderated").filter((r) => r.offered < 0.98 * peak(rows("moderated")))) {
    assertEquals(total(r), 0, `at ${r.offered}`);
    assert(r.delivered > 0.98 * r.offered && r.irqs < 20_000);
  }
  // The dip between 350,000 and 600,000: the ring runs dry after each few frames, and softirqs on interrupt exit come
  // before the application, as in Linux since 6.5, where a driver moderates.
  const napi = rows("napi");
  assert(napi.find((r) => r.offered > 250_000)!.irqs > 150_000);
  const dip = napi.filter((r) => r.offered > 350_000 && r.offered < 650_000);
  for (const r of dip) assert(r.drops.socket > 0 && r.drops.ring === 0 && r.cpu.softirq > 40, JSON.stringify(r));
});

Deno.test("livelock: idle, ksoftirqd sleeps and no run is squeezed; flooded, with many cards, both are counted", () => {
  for (const mode of ["interrupt", "napi", "moderated"] as const) {
    for (const r of rows(mode).filter((r) => r.offered < 200_000)) {
      assertEquals([r.timeSqueeze, r.ksoftirqdWakes, total(r)], [0, 0, 0]);
      assert(r.cpu.idle > 25);
    }
  }
  const [low, high] = livelock({ modes: ["napi"], loads: [50_000, 1_000_000], cards: 8 });
  assertEquals([low.timeSqueeze, low.ksoftirqdWakes], [0, 0]);
  assert(high.timeSqueeze > 10 && high.ksoftirqdWakes > 0, JSON.stringify(high));
  assert(high.delivered > 0.9 * peak(rows("napi")));
});

Deno.test("livelock: the curve is the same on every machine: one seed, one course of events", async () => {
  const all = ["interrupt", "napi", "moderated"].flatMap((mode) => rows(mode as LivelockMode));
  const text = `${plot(all)}\n\n${table(all)}\n`;
  if (Deno.args.includes("--update")) await Deno.writeTextFile(GOLDEN, text);
  assertEquals(text, await Deno.readTextFile(GOLDEN), "run with `-- --update` when the change is meant");
  const some = { modes: ["napi"] as const, loads: [100_000, 450_000], seconds: 0.005 };
  assertEquals(livelock(some), livelock(some));
  assert(livelock({ ...some, seed: 2 })[0].offered !== livelock(some)[0].offered);
});

Deno.test("livelock: each datagram is read, lost at a counted place, or still in a queue; the CPU's parts are the whole", () => {
  for (const mode of ["interrupt", "napi", "moderated"] as const) {
    for (const r of rows(mode)) {
      const seconds = 0.01;
      // What the queues hold may change by their size in the time measured: ring, backlog, socket.
      const held = (r.offered - r.delivered) * seconds - total(r);
      assert(Math.abs(held) <= 256 + 1000 + 600, `${mode} at ${r.offered}: ${held}`);
      const { hardirq, softirq, ksoftirqd, app, idle } = r.cpu;
      assert(Math.abs(hardirq + softirq + ksoftirqd + app + idle - 100) < 0.5, JSON.stringify(r.cpu));
    }
  }
});

Deno.test("livelock: a plot in the terminal: axes, a glyph for each mode, colours only when asked", () => {
  const all = [...rows("interrupt"), ...rows("moderated")];
  const text = plot(all, { width: 60, height: 10 });
  const lines = text.split("\n");
  assertEquals(lines[0], "datagrams read per second");
  assertEquals(lines.filter((l) => /[│┤]/.test(l)).length, 10);
  assert(lines.every((l) => l.length <= 61), text);
  assertEquals(lines.at(-1), "×  an interrupt a frame     ●  NAPI, moderated");
  assert(!text.includes("\x1b"));
  // The last line of the plot is the collapse, its first the plateau.
  const [first, last] = [lines[1], lines[10]];
  assert(last.includes("××××××××") && !first.includes("×"));
  assert(first.includes("●●●●●●●●") && !last.includes("●●●●"));
  assertStringIncludes(plot(all, { color: true }), "\x1b[31m×\x1b[0m");
  assertEquals(plot([]), "");
  assertEquals([1, 999, 1000, 25_000, 1_500_000, 2e6].map(shortNumber), ["1", "999", "1k", "25k", "1.5M", "2M"]);
  assertEquals([tickStep(620_000, 4), tickStep(2e6, 4), tickStep(9, 5)], [200_000, 500_000, 2]);
});

Deno.test("livelock: the same as SVG: well formed, a line for each mode, a point for each row", () => {
  const all = ["interrupt", "napi", "moderated"].flatMap((mode) => rows(mode as LivelockMode));
  const text = svg(all);
  const open: string[] = [];
  for (const [, close, name, rest] of text.matchAll(/<(\/?)(\w+)([^>]*)>/g)) {
    if (close === "/") assertEquals(open.pop(), name);
    else if (!rest.endsWith("/")) open.push(name);
    for (const [, value] of rest.matchAll(/="([^"]*)"/g)) assert(!/NaN|undefined|Infinity/.test(value), value);
  }
  assertEquals(open, []);
  assertEquals(text.match(/<circle /g)!.length, all.length);
  assertEquals(text.match(/<polyline /g)!.length, 3 + 1);
  for (const [, x, y] of text.matchAll(/<circle cx="([\d.]+)" cy="([\d.]+)"/g)) {
    assert(Number(x) >= 80 && Number(x) <= 776 && Number(y) >= 56 && Number(y) <= 416, `${x} ${y}`);
  }
  assertStringIncludes(svg([]), "</svg>");
});

Deno.test("cli: livelock plots and tabulates; --json gives the rows, --svg a file; bad ones are said", async () => {
  const out: string[] = [];
  const err: string[] = [];
  const io = { log: (t: string) => out.push(t), error: (t: string) => err.push(t), color: false, width: 80 };
  const few = ["--load", "50000,600000", "--ms", "2", "--mode", "interrupt"];
  assertEquals(await main(["livelock", ...few], io), 0);
  assertStringIncludes(out.join("\n"), "datagrams offered per second");
  assertMatch(out.join("\n"), /\ninterrupt +6\d{5} +0 +500000 /);
  out.length = 0;
  const file = await Deno.makeTempFile({ suffix: ".svg" });
  try {
    assertEquals(await main(["livelock", ...few, "--json", "--svg", file, "--cost", "irq=1000"], io), 0);
    const all = out.join("\n").split("\n").map((line) => JSON.parse(line) as LivelockRow);
    assertEquals(all.map((r) => r.mode), ["interrupt", "interrupt"]);
    assert(all[1].delivered > 0); // at half the price of an interrupt this load is none yet
    assertEquals(await Deno.readTextFile(file), svg(all));
    assertEquals(await main(["livelock", ...few, "--svg", `${file}/no`], io), 1);
    assertStringIncludes(err.join("\n"), `Cannot write ${file}/no: `);
  } finally {
    await Deno.remove(file);
  }
});
