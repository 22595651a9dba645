/**
 * Writes docs/rfc9293.md: each requirement of RFC 9293, how it stands, and the tests that show it. What is tested is read
 * from the names of the tests: a label in brackets, `[MUST-12]`. So that the page cannot rot.
 *
 * ```text
 * deno run -A tests/support/rfc9293.ts --write
 * ```
 *
 * @module
 */
import { type Requirement, REQUIREMENTS, type Status } from "./rfc9293_data.ts";

/** A file and its text. */
export interface Source {
  /** From the root, with slashes. */
  readonly path: string;
  readonly text: string;
}

/** A test with labels in its name. */
export interface Labelled {
  readonly path: string;
  readonly name: string;
  readonly labels: readonly string[];
}

/** A requirement and how it stands. */
export interface Row {
  readonly label: string;
  readonly level: string;
  readonly section: string;
  readonly statement: string;
  readonly status: Status;
  readonly why: string;
  readonly tests: readonly Labelled[];
}

/** The page, from the root. */
export const PAGE = "docs/rfc9293.md";

const LABEL = /\[((?:MUST|SHLD|MAY|REC)-\d+)\]/g;
/** A test of its own line, no comment; one that is written to be ignored does not count. */
const TEST = /^[ \t]*(?:Deno\.test|testNeeding)\(\s*(?:\[[^\]]*\],\s*)?(["'`])((?:(?!\1).)*)\1/gm;

/** Tests of `sources` whose names have labels. */
export function labelledTests(sources: readonly Source[]): Labelled[] {
  const out: Labelled[] = [];
  for (const { path, text } of sources) {
    for (const [, , name] of text.matchAll(TEST)) {
      const labels = [...name.matchAll(LABEL)].map((m) => m[1]);
      if (labels.length > 0) out.push({ path, name: name.replaceAll(/\[[A-Z]+-?\d+\] ?/g, ""), labels });
    }
  }
  return out;
}

/** All requirements with their tests. */
export function rowsOf(tests: readonly Labelled[], requirements: readonly Requirement[] = REQUIREMENTS): Row[] {
  return requirements.map(([label, level, section, statement, status = "tested", why = ""]) => ({
    label,
    level,
    section,
    statement,
    status,
    why,
    tests: tests.filter((t) => t.labels.includes(label)),
  }));
}

/** What is wrong with the table: a requirement without a test or a reason, a label that there is not. One line each. */
export function faults(tests: readonly Labelled[], requirements: readonly Requirement[] = REQUIREMENTS): string[] {
  const known = new Set(requirements.map(([label]) => label));
  const out = tests.flatMap((t) =>
    t.labels.filter((l) => !known.has(l)).map((l) => `${t.path}: RFC 9293 has no ${l} ("${t.name}")`)
  );
  for (const row of rowsOf(tests, requirements)) {
    if (row.status === "tested" && row.tests.length === 0) out.push(`${row.label} has no test: ${row.statement}`);
    if (row.status !== "tested" && row.why === "") out.push(`${row.label} is "${row.status}" without a reason`);
    if (["does", "missing", "n/a"].includes(row.status) && row.tests.length > 0) {
      out.push(`${row.label} is "${row.status}", and has a test: ${row.tests[0].name}`);
    }
  }
  return out;
}

/** How many rows have each status. */
export function counts(rows: readonly Row[]): Map<Status, number> {
  const out = new Map<Status, number>();
  for (const { status } of rows) out.set(status, (out.get(status) ?? 0) + 1);
  return out;
}

const EXPLAINED: readonly [Status, string][] = [
  ["tested", "a test has the label in its name; it fails if the behaviour is broken"],
  ["does", "the stack behaves so, but nobody outside can see it"],
  ["differs", "Linux does otherwise, and the stack does what Linux does; tests, if any, show that"],
  ["missing", "Linux does it, the stack does not"],
  ["n/a", "what applications ought to do, or an option that Linux does not take"],
];

/** The last part of a path, as a link from docs/. */
function link(path: string): string {
  return `[${path.slice(path.lastIndexOf("/") + 1).replace(/_test\.ts$/, "")}](../${path})`;
}

function cells({ label, level, section, statement, status, why, tests }: Row): string[] {
  const files = [...new Set(tests.map((t) => t.path))].sort();
  const shown = files.length === 0 ? status : `${status}: ${files.map(link).join(", ")}`;
  return [label, level, section, statement, shown, why].map((c) => c.replaceAll("|", "\\|"));
}

/** A table with its columns aligned, as `deno fmt` has it. */
function table(head: string[], body: string[][]): string[] {
  const width = head.map((h, i) => Math.max(3, h.length, ...body.map((r) => r[i].length)));
  const line = (r: string[]): string => `| ${r.map((c, i) => c.padEnd(width[i])).join(" | ")} |`;
  return [line(head), `| ${width.map((w) => "-".repeat(w)).join(" | ")} |`, ...body.map(line)];
}

/** Lines of 120 columns at most, as `deno fmt` has them. */
function wrapped(text: string): string[] {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const last = lines.length - 1;
    if (last >= 0 && lines[last].length + 1 + word.length <= 120) lines[last] += ` ${word}`;
    else lines.push(word);
  }
  return lines;
}

/** The page. */
export function page(rows: readonly Row[]): string {
  const sums = counts(rows);
  const level = (m: string): number => rows.filter((r) => r.level.startsWith(m)).length;
  return [
    "# RFC 9293, requirement by requirement",
    "",
    ...wrapped(
      `RFC 9293 has ${rows.length} requirements with labels: ${level("MUST")} MUST and MUST NOT, ${level("SHOULD")} ` +
        `SHOULD and SHOULD NOT, ${
          level("MAY")
        } MAY. This is how the TCP of this stack stands. The statements are in our ` +
        "own words; the [RFC](https://www.rfc-editor.org/rfc/rfc9293) has the exact ones, in the sections given.",
    ),
    "",
    ...table(["status", "rows", "means"], EXPLAINED.map(([s, m]) => [s, `${sums.get(s) ?? 0}`, m])),
    "",
    "To run the tests of one of them:",
    "",
    "```text",
    'deno test -A --filter "[MUST-13]" tests/plugins/tcp/',
    "```",
    "",
    "<!-- Generated from tests/support/rfc9293_data.ts and the names of the tests: -->",
    "<!-- deno run -A tests/support/rfc9293.ts --write -->",
    "",
    ...table(["label", "level", "section", "statement", "status", "why, or how"], rows.map(cells)),
    "",
  ].join("\n");
}

/**
 * The test files of the checkout at `root`, read.
 *
 * ```ts
 * import { assert } from "@std/assert";
 * import { faults, labelledTests, readTests } from "./rfc9293.ts";
 *
 * const tests = labelledTests(readTests(new URL("../../", import.meta.url)));
 * assert(tests.some((t) => t.labels.includes("MUST-13")));
 * ```
 */
export function readTests(root: URL): Source[] {
  const out: Source[] = [];
  const walk = (dir: string): void => {
    for (const e of [...Deno.readDirSync(new URL(dir, root))].sort((a, b) => a.name < b.name ? -1 : 1)) {
      if (e.isDirectory) walk(`${dir}${e.name}/`);
      else if (e.name.endsWith("_test.ts")) {
        out.push({ path: dir + e.name, text: Deno.readTextFileSync(new URL(dir + e.name, root)) });
      }
    }
  };
  walk("tests/");
  return out;
}

if (import.meta.main) {
  const root = new URL("../../", import.meta.url);
  const tests = labelledTests(readTests(root));
  const wrong = faults(tests);
  const rows = rowsOf(tests);
  for (const line of wrong) console.error(line);
  if (Deno.args.includes("--write")) Deno.writeTextFileSync(new URL(PAGE, root), page(rows));
  console.log([...counts(rows)].map(([s, n]) => `${n} ${s}`).join(", "));
  if (wrong.length > 0) Deno.exit(1);
}
