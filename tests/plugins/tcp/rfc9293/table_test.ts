/** docs/rfc9293.md is what the requirements and the names of the tests give, and each requirement stands somewhere. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { faults, labelledTests, PAGE, page, readTests, rowsOf } from "../../../support/rfc9293.ts";
import { type Requirement, REQUIREMENTS } from "../../../support/rfc9293_data.ts";

const ROOT = new URL("../../../../", import.meta.url);
const tests = labelledTests(readTests(ROOT));

Deno.test("RFC 9293: each requirement has a test, or a written reason why not", () => {
  assertEquals(faults(tests), []);
});

Deno.test("RFC 9293: each MUST that is not tested has its reason", () => {
  for (const row of rowsOf(tests)) {
    if (!row.level.startsWith("MUST")) continue;
    assert(row.tests.length > 0 || row.why.length > 20, row.label);
  }
});

Deno.test("RFC 9293: docs/rfc9293.md is current (deno run -A tests/support/rfc9293.ts --write)", () => {
  assertEquals(Deno.readTextFileSync(new URL(PAGE, ROOT)), page(rowsOf(tests)));
});

Deno.test("RFC 9293: the labels are all there are, each once: MUST 1 to 69, SHLD 1 to 31, MAY 1 to 18, REC 1", () => {
  const range = (kind: string, n: number): string[] => Array.from({ length: n }, (_, i) => `${kind}-${i + 1}`);
  const all = [...range("MUST", 69), ...range("SHLD", 31), ...range("MAY", 18), "REC-1"];
  assertEquals(REQUIREMENTS.map(([label]) => label), all);
  for (const [label, level, section] of REQUIREMENTS) {
    assert(level.startsWith(label.startsWith("MUST") ? "MUST" : label.startsWith("MAY") ? "MAY" : "SHOULD"), label);
    assert(/^3\.\d+(\.\d+)*$/.test(section), label);
  }
});

Deno.test("RFC 9293: the table finds what is wrong with it", () => {
  const source = (text: string) => labelledTests([{ path: "tests/x_test.ts", text }]);
  const seen = source([
    'Deno.test("[A1] [MUST-1] one", () => {});',
    "  Deno.test(`[MUST-2] [SHLD-1] ${x}`, () => {});",
    'testNeeding(["root"], "[MUST-3] three", () => {});',
    '// Deno.test("[MUST-4] no test", () => {});',
    'Deno.test.ignore("[MUST-4] nor this", () => {});',
    'const text = "[MUST-4]";',
    'Deno.test("[MUST-99] nobody\'s", () => {});',
  ].join("\n"));
  assertEquals(seen.map((t) => [t.labels, t.name]), [
    [["MUST-1"], "one"],
    [["MUST-2", "SHLD-1"], "${x}"],
    [["MUST-3"], "three"],
    [["MUST-99"], "nobody's"],
  ]);
  const table: Requirement[] = [
    ["MUST-1", "MUST", "3.1", "fine"],
    ["MUST-2", "MUST", "3.1", "said not to be seen", "does", "why"],
    ["MUST-3", "MUST", "3.1", "differs", "differs", "why"],
    ["MUST-4", "MUST", "3.1", "nobody tests it"],
    ["MUST-5", "MUST", "3.1", "no reason", "missing"],
    ["SHLD-1", "SHOULD", "3.1", "fine"],
  ];
  assertEquals(faults(seen, table), [
    'tests/x_test.ts: RFC 9293 has no MUST-99 ("nobody\'s")',
    'MUST-2 is "does", and has a test: ${x}',
    "MUST-4 has no test: nobody tests it",
    'MUST-5 is "missing" without a reason',
  ]);
  assertStringIncludes(page(rowsOf(seen, table)), "| MUST-1 | MUST");
});

const TSV = new URL("../../../../../shared/reference/rfc9293-requirements.tsv", import.meta.url);

function read(url: URL): string | null {
  try {
    return Deno.readTextFileSync(url);
  } catch {
    return null;
  }
}

const tsv = read(TSV);
Deno.test({
  name: `RFC 9293: the fact sheet has the same labels${tsv === null ? " [needs ../shared/reference]" : ""}`,
  ignore: tsv === null,
  fn: () => {
    const labels = new Set(tsv!.trim().split("\n").slice(1).map((line) => line.split("\t")[0]));
    assertEquals([...labels].sort(), REQUIREMENTS.map(([label]) => label).sort());
  },
});
