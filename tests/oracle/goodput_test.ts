/** A few cells of the goodput table, short: `goodput.ts` measures all of it. */
import { assert } from "@std/assert";
import { testNeeding } from "../support/needs.ts";
import { type Cell, goodput, type Measured, ratio, runOnce } from "./goodput.ts";

const SECONDS = 3;
const RUNS = 3;
/** Of 3 s and 3 runs on a machine that does something else too. */
const LEAST = 0.6, MOST = 1.7;

/** No loss: the link is the bound. Losses: the control is. */
const CELLS: readonly (Cell & { least: number })[] = [
  { algorithm: "cubic", rttMs: 10, loss: 1, reorder: 0, least: 1 },
  { algorithm: "reno", rttMs: 10, loss: 3, reorder: 5, least: 0.5 },
];

testNeeding(
  ["root", "tun", "program:unshare", "program:ip", "program:ss", "program:sysctl", "program:nsenter", "program:chrt"],
  "goodput: over the same emulated link netpath's sender delivers about as much as the kernel's, and to netpath the kernel does too",
  async () => {
    const measured: Measured[] = CELLS.map((cell) => ({ ...cell, seconds: SECONDS, runs: [] }));
    for (let run = 0; run < RUNS; run++) {
      // In real time, whatever else the machine does: a link of 10 ms is no link of 10 ms otherwise.
      const delivered = await Promise.all(measured.map((m) => runOnce(m, run, SECONDS, ["chrt", "-r", "10"])));
      for (const [i, m] of measured.entries()) m.runs.push(delivered[i]);
    }
    for (const [i, m] of measured.entries()) {
      const text = JSON.stringify(m.runs.map((run) => run.map(({ mbit }) => mbit)));
      const receiver = goodput(m, 2) / goodput(m, 0);
      for (const share of [ratio(m), receiver]) assert(share > LEAST && share < MOST, text);
      assert([0, 1, 2].every((link) => goodput(m, link) > CELLS[i].least), text);
    }
  },
);
