/**
 * Results as text and as data.
 *
 * @module
 */
import type { ScriptResult } from "./run.ts";

/** All results: what `--json` writes. */
export interface Report {
  /** Scripts that ran to their end. */
  passed: number;
  /** Scripts in which something differs. */
  failed: number;
  /** Scripts that ask for what is not there. */
  unsupported: number;
  /** Scripts that pass with every event within 1 ms of its time. */
  within_1ms: number;
  /** Seconds of real time. */
  seconds: number;
  /** One row a script; `line` 0: none; `error` empty: it passed. */
  scripts: {
    file: string;
    result: ScriptResult["result"];
    seconds: number;
    line: number;
    error: string;
    expected?: string;
    actual?: string;
    slip_usecs: number;
  }[];
}

/** Microseconds under which an event counts as in time. */
const STRICT_USECS = 1000;

/** Sums results up. */
export function report(results: readonly ScriptResult[], seconds: number): Report {
  const count = (verdict: ScriptResult["result"]): number => results.filter((r) => r.result === verdict).length;
  return {
    passed: count("pass"),
    failed: count("fail"),
    unsupported: count("unsupported"),
    within_1ms: results.filter((r) => r.result === "pass" && r.slip <= STRICT_USECS).length,
    seconds,
    scripts: results.map((r) => ({
      file: r.file,
      result: r.result,
      seconds: r.seconds,
      line: r.line,
      error: r.error,
      ...(r.expected === "" ? {} : { expected: r.expected }),
      ...(r.actual === "" ? {} : { actual: r.actual }),
      slip_usecs: Math.round(r.slip),
    })),
  };
}

/** One line of a script's result, and for a failure what was expected and what came. */
export function resultText(r: ScriptResult): string {
  const verdict = { pass: "PASS", fail: "FAIL", unsupported: "UNSUPPORTED" }[r.result];
  if (r.result === "pass") return `${verdict} ${r.file}`;
  const lines = [`${verdict} ${r.file}:${r.line}: ${r.error}`];
  if (r.result === "fail" && r.event !== "") lines.push(`       line: ${r.event}`);
  if (r.expected !== "") lines.push(`   expected: ${r.expected}`);
  if (r.actual !== "") lines.push(`     actual: ${r.actual}`);
  return lines.join("\n");
}

/** The last line. */
export function totalText(r: Report): string {
  const all = r.scripts.length;
  return `${r.passed} passed, ${r.failed} failed, ${r.unsupported} unsupported of ${all} scripts; ` +
    `${r.within_1ms} pass within 1 ms; ${r.seconds.toFixed(1)} s`;
}

/** A row of a reference: what a real kernel did. */
export interface ReferenceRow {
  /** `google`. */
  readonly suite: string;
  /** Path inside the suite. */
  readonly script: string;
  /** Address family: `ipv4`, `ipv6`, `mapped`. */
  readonly variant: string;
  /** `pass` or `fail`. */
  readonly result: string;
}

/** Reads a table `suite script variant result ...` with tabs. */
export function parseReference(text: string): ReferenceRow[] {
  return text.split("\n").slice(1).filter((l) => l.includes("\t")).map((line) => {
    const [suite, script, variant, result] = line.split("\t");
    return { suite, script, variant, result };
  });
}

/** How results compare to a reference: of each suite, how many of the scripts that pass there pass here. */
export interface Comparison {
  /** Its name. */
  readonly suite: string;
  /** Scripts that pass on the reference and were run. */
  readonly of: number;
  /** Of them, those that pass here. */
  readonly passed: number;
  /** Of them, those that do not. */
  readonly missing: readonly string[];
  /** Scripts that fail on the reference and pass here. */
  readonly beyond: readonly string[];
}

/** Compares by the end of the path: `google/close/x.pkt`. */
export function compare(results: readonly ScriptResult[], reference: readonly ReferenceRow[]): Comparison[] {
  const rows = reference.filter((r) => r.variant === "ipv4");
  const suites = [...new Set(rows.map((r) => r.suite))];
  return suites.map((suite) => {
    const missing: string[] = [];
    const beyond: string[] = [];
    let of = 0;
    for (const row of rows.filter((r) => r.suite === suite)) {
      const name = `${suite}/${row.script}`;
      const run = results.find((r) => r.file === name || r.file.endsWith(`/${name}`));
      if (run === undefined) continue;
      const passes = run.result === "pass";
      if (row.result !== "pass") {
        if (passes) beyond.push(row.script);
        continue;
      }
      of++;
      if (!passes) missing.push(row.script);
    }
    return { suite, of, passed: of - missing.length, missing, beyond };
  });
}

/** A comparison as lines. */
export function comparisonText(rows: readonly Comparison[]): string {
  const line = (name: string, passed: number, of: number): string =>
    `${name.padEnd(20)} ${passed}/${of}${of === 0 ? "" : ` (${(passed / of * 100).toFixed(1)} %)`}`;
  const sum = (f: (c: Comparison) => number): number => rows.reduce((a, c) => a + f(c), 0);
  return [
    "of the scripts that pass on the reference kernel:",
    ...rows.map((c) => line(c.suite, c.passed, c.of) + (c.beyond.length === 0 ? "" : `, and ${c.beyond.length} more`)),
    line("all", sum((c) => c.passed), sum((c) => c.of)),
  ].join("\n");
}
