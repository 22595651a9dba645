/**
 * Runs one row of the bench in a process of its own, so that no row shapes another's machine code, and prints its
 * samples as one JSON line. `deno run -A tests/bench/row.ts NAME`.
 */
import { rows } from "./rows.ts";
import { tapRows } from "./tap_rows.ts";
import { tcpRows } from "./tcp_rows.ts";
import { yardsticks } from "./yardsticks.ts";

/** What a row gives: one number per round, after the warm-up. */
export interface RowResult {
  /** Samples in the row's unit. */
  samples: number[];
}

/** A row. */
export interface Row {
  /** `Mpps` and the like are not used: plain numbers per second, ns, bytes, Gbit/s. */
  unit: string;
  /** The device the packets cross. */
  device: string;
  /** Measures. */
  run(rounds: number): number[] | Promise<number[]>;
  /** Needs a namespace of its own and root. */
  namespace?: boolean;
}

/** All rows by name. */
export function allRows(): Record<string, Row> {
  return { ...yardsticks, ...rows, ...tcpRows, ...tapRows };
}

if (import.meta.main) {
  const [name, rounds = "9"] = Deno.args;
  const row = allRows()[name];
  if (row === undefined) {
    console.error(`No bench row ${name}: there are ${Object.keys(allRows()).join(", ")}`);
    Deno.exit(2);
  }
  const result: RowResult = { samples: await row.run(Number(rounds)) };
  console.log(JSON.stringify(result));
  Deno.exit(0);
}
