/**
 * The words run: commands and code blocks of the README in both languages, CONTRIBUTING and docs/; and what they say of
 * the code is so: links, tasks, files, tracepoints, claims. `tests/support/ok.ts` type-checks the same blocks.
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { createHost, Machine } from "../mod.ts";
import { nic, wire } from "../plugins/device/nic/mod.ts";
import { type JourneyRecord, REMARKS } from "../plugins/observe/journey/mod.ts";
import { stepOf } from "../plugins/observe/journey/steps.ts";
import { testNeeding } from "./support/needs.ts";

const ROOT = new URL("../", import.meta.url);
const read = (path: string): string => Deno.readTextFileSync(new URL(path, ROOT));
const config = JSON.parse(read("deno.json")) as {
  exports: Record<string, string>;
  publish: { include: string[] };
  tasks: Record<string, unknown>;
};
const docs = [...Deno.readDirSync(new URL("docs/", ROOT))].map((e) => `docs/${e.name}`).filter((n) =>
  n.endsWith(".md")
);
const PAGES = ["README.md", "README.zh.md", "CONTRIBUTING.md", ...docs.sort()];

/** A fenced block of a page. */
interface Block {
  readonly page: string;
  /** Its first line in the page, from 1. */
  readonly line: number;
  /** What stands behind the fence: `ts`, `ts ignore`, `sh`. */
  readonly info: string;
  readonly text: string;
  /** The last line of text before it. */
  readonly above: string;
}

/** The blocks of a page, and the page without them. */
function split(page: string): { blocks: Block[]; prose: string } {
  const blocks: Block[] = [];
  const prose: string[] = [];
  let open: { line: number; info: string; lines: string[] } | null = null;
  read(page).split("\n").forEach((text, i) => {
    const fence = /^```(.*)$/.exec(text);
    if (open === null && fence === null) prose.push(text);
    else if (open === null) open = { line: i + 2, info: fence![1], lines: [] };
    else if (fence === null) open.lines.push(text);
    else {
      const above = prose.findLast((l) => l.trim() !== "") ?? "";
      blocks.push({ page, line: open.line, info: open.info, text: open.lines.join("\n"), above });
      open = null;
    }
  });
  assertEquals(open, null, `${page}: a block is not closed`);
  return { blocks, prose: prose.join("\n") };
}

const pages = new Map(PAGES.map((page) => [page, split(page)]));
const blocks = [...pages.values()].flatMap((p) => p.blocks);
const at = (b: Block): string => `${b.page}:${b.line}`;

// ---- commands

/** Tasks that take long, need root, or are this suite: they must exist, and are run elsewhere. */
const LONG_TASKS = ["test", "ok", "bench", "oracle", "fuzz"];

/** The lines of a block of commands, without comments. */
const commands = (b: Block): string[] =>
  b.text.split("\n").map((l) => l.replace(/\s+#.*$/, "").trim()).filter((l) => l !== "" && !l.startsWith("#"));

/** Runs a program to its end, which must be a good one; what it said. */
async function runs(program: string, args: string[], env: Record<string, string> = {}): Promise<string> {
  const { code, stdout, stderr } = await new Deno.Command(program, {
    args,
    cwd: ROOT,
    stdin: "null",
    env: { NO_COLOR: "1", ...env },
    signal: AbortSignal.timeout(15_000),
  }).output();
  const said = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
  assertEquals(code, 0, `${program} ${args.join(" ")}\n${said}`);
  return said;
}

const shown = blocks.filter((b) => b.info === "sh");
const onDevices = shown.filter((b) => b.text.includes("sudo "));
const lines = new Set(shown.filter((b) => !onDevices.includes(b)).flatMap(commands));

for (const line of lines) {
  const [program, ...args] = line.replace(/^npx -y deno@2 /, "deno ").split(/\s+/);
  if (program !== "deno" || /["'|&;<>$*]/.test(line)) throw new Error(`"${line}" is no command that this test can run`);
  if (args[0] === "task" && LONG_TASKS.includes(args[1])) continue;
  Deno.test(`docs: ${line}`, async () => void await runs(Deno.execPath(), args));
}

/** What needs root and a device is typed as it stands, but without sudo, in a network of its own. */
for (const b of onDevices.filter((b) => b.page !== "README.zh.md")) {
  testNeeding(
    ["root", "tun", "program:ip", "program:unshare", "program:ping"],
    `docs: the commands of ${at(b)} on a real device`,
    async () => {
      const script = commands(b).map((line) => line.replaceAll("sudo ", "")).map((line) => {
        if (line.startsWith("ping ")) return `${line} -c 2 -i 0.2 -W 2`;
        if (!line.startsWith("deno ")) return line;
        return `"$DENO" ${line.slice(5)} > "$OUT" 2>&1 & pid=$!\nuntil grep -q "is up" "$OUT"; do sleep 0.1; done`;
      });
      const out = await Deno.makeTempFile();
      try {
        const all = ["set -e", ...script, "kill -INT $pid", "wait $pid"].join("\n");
        const said = await runs("unshare", ["-n", "bash", "-c", all], { DENO: Deno.execPath(), OUT: out });
        assertStringIncludes(said, "2 received, 0% packet loss");
      } finally {
        await Deno.remove(out);
      }
    },
  );
}

Deno.test("docs: every task that a page names is there", () => {
  for (const page of PAGES) {
    for (const [, name] of read(page).matchAll(/deno(?:@2)? task ([a-z]+)/g)) {
      assert(name in config.tasks, `${page}: there is no task ${name}`);
    }
  }
});

// ---- code

/** A module of its own: names of the package resolve in it as in a user's, paths from tests/plugins/NAME/ are made whole. */
function moduleOf(text: string, others: Readonly<Record<string, string>> = {}): string {
  const whole = text.replaceAll(/from "(\.[^"]*)"/g, (all, path: string) => {
    if (path in others) return `from "${others[path]}"`;
    return path.startsWith("../../") ? `from "${new URL(path, new URL("tests/plugins/mine/", ROOT))}"` : all;
  });
  const bytes = new TextEncoder().encode(whole);
  return `data:application/typescript;base64,${btoa(String.fromCharCode(...bytes))}`;
}

/** README.zh.md has the README's blocks: a test below. */
const code = blocks.filter((b) => b.info.startsWith("ts") && b.page !== "README.zh.md");

for (const b of code.filter((b) => b.info === "ts")) {
  Deno.test(`docs: the code of ${at(b)} runs`, async () => void await import(moduleOf(b.text)));
}

/** How a plugin is tested: the page's own plugin, named in an import, through a contract suite, whose tests are these. */
for (const b of code.filter((b) => b.info !== "ts")) {
  const [, names, file] = /^import \{ (.+) \} from "(\.\/\w+\.ts)"; \/\/ the \w+ above$/m.exec(b.text) ?? [];
  const plugin = code.findLast((p) => p.page === b.page && p.info === "ts" && p.line < b.line);
  if (b.info !== "ts ignore" || file === undefined || plugin === undefined) {
    throw new Error(`${at(b)}: "${b.info}" is not run by anything`);
  }
  await import(moduleOf(b.text, { [file]: moduleOf(`${plugin.text}\nexport { ${names} };`) }));
}

Deno.test("docs: every block is of a kind that is run or compared", () => {
  const known = ["ts", "ts ignore", "sh", "yaml", "text", "mermaid"];
  for (const b of blocks) assert(known.includes(b.info), `${at(b)}: "${b.info}"`);
});

Deno.test("docs: a lab that is shown is the file that it is said to be", () => {
  for (const b of blocks.filter((b) => b.info === "yaml")) {
    const file = /\]\((examples\/labs\/\w+\.yaml)\)/.exec(b.above)?.[1];
    assert(file !== undefined, `${at(b)}: the line above names no file`);
    assertEquals(b.text + "\n", read(file), at(b));
  }
});

// ---- what is published, and where links lead

const published = (path: string): boolean =>
  config.publish.include.some((i) => i.endsWith("/") ? path.startsWith(i) : path === i);

Deno.test("docs: the README in both languages and docs/ are published, so that their examples are checked", () => {
  assertEquals(["README.md", "README.zh.md", ...docs].filter((page) => !published(page)), []);
});

/** GitHub's name of a heading. */
const slug = (heading: string): string =>
  heading.toLowerCase().replaceAll(/[^\p{L}\p{N}\s_-]/gu, "").trim().replaceAll(/\s/g, "-");

Deno.test("docs: every link leads somewhere", () => {
  for (const [page, { prose }] of pages) {
    for (const [, target] of prose.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^https?:/.test(target)) continue;
      const [path, anchor] = target.split("#");
      const file = new URL(path === "" ? page : new URL(path, new URL(page, ROOT)), ROOT);
      const stat = Deno.statSync(file); // throws with the name
      if (anchor === undefined || !stat.isFile) continue;
      const headings = [...Deno.readTextFileSync(file).matchAll(/^#+ (.*)$/gm)].map(([, h]) => slug(h));
      assert(headings.includes(anchor), `${page}: ${target}: there is ${headings.join(", ")}`);
    }
  }
});

// ---- two languages, one README

const UNITS: Readonly<Record<string, number>> = { million: 1e6, thousand: 1e3, "万": 1e4 };

/** A figure of the table of numbers: `2.07 million`, `207 万`. */
function figure(text: string): number {
  const [, digits = "", unit = ""] = /^([\d.,]+) ?(\S*)$/.exec(text.trim()) ?? [];
  return Math.round(Number(digits.replaceAll(",", "")) * (UNITS[unit] ?? 1) * 1e6) / 1e6;
}

/** What a translation keeps: levels of headings, blocks, rows of tables, figures, where links lead. */
function skeleton(page: string): Record<string, unknown> {
  const { blocks, prose } = pages.get(page)!;
  const lines = prose.split("\n");
  const cells = lines.filter((l) => l.startsWith("|")).map((l) => l.split("|").slice(1, -1).map((c) => c.trim()));
  return {
    headings: lines.filter((l) => /^#+ /.test(l)).map((l) => l.indexOf(" ")),
    blocks: blocks.map((b) => [b.info, b.text]),
    rows: cells.map((row) => row.length),
    named: cells.map(([first]) => /^`[^`]+`$/.exec(first)?.[0] ?? ""),
    figures: cells.filter((row) => row.length === 4 && /^[\d.,]+/.test(row[2])).map((row) => [row[0], figure(row[2])]),
    links: [...prose.matchAll(/\]\(([^)#\s]+)/g)].map(([, to]) => to).filter((to) => !/^README/.test(to)).sort(),
  };
}

Deno.test("docs: README.zh.md has the headings, blocks, tables and links of README.md", () => {
  assertEquals(skeleton("README.zh.md"), skeleton("README.md"));
});

// ---- the path

const CLAIMS = [
  ...Array.from({ length: 24 }, (_, i) => `R${i + 1}`),
  ...Array.from({ length: 21 }, (_, i) => `T${i + 1}`),
  ...["C1", "C2", "C3"],
];

/** The rows of the tables of claims: number, whether the kernel differs, the cells. */
const rows = [...pages.get("docs/path.md")!.prose.matchAll(/^\| ([RTC]\d+)(\\\*)? +\|(.*)\|$/gm)]
  .map(([, claim, star, rest]) => ({ claim, star: star !== undefined, cells: rest.split("|") }))
  .filter((r) => r.cells[1]?.includes("](../"));

Deno.test("docs/path.md: every claim once, in order, and each in the picture", () => {
  assertEquals(rows.map((r) => r.claim), CLAIMS);
  const picture = blocks.find((b) => b.page === "docs/path.md" && b.info === "mermaid")!.text;
  assertEquals(CLAIMS.filter((claim) => !new RegExp(`\\b${claim}\\b`).test(picture)), []);
});

Deno.test("docs/path.md: its tracepoints are there, and a journey shows the claim at one of them", () => {
  const machine = new Machine();
  nic(createHost({ machine }).net, "eth0", { wire: wire(machine) });
  const there = machine.bus.list().map((d) => d.name);
  for (const { claim, cells } of rows) {
    const points = [...cells[2].matchAll(/`([\w:]+)`/g)].map(([, point]) => point);
    for (const point of points) assert(there.includes(point), `${claim}: no tracepoint ${point}`);
    const steps = points.map((point) => stepOf({ point, what: "" } as JourneyRecord).claims);
    assert(steps.some((claims) => claims.includes(claim)), `${claim}: ${points.join(", ")} show ${steps.join(" ")}`);
  }
  machine[Symbol.dispose]();
});

Deno.test("docs: where textbook and kernel differ, every table has every difference", () => {
  const differ = [...new Set(REMARKS.flatMap((r) => r.claims))];
  for (const { claim, star } of rows) if (star) assert(differ.includes(claim), `${claim} has no remark`);
  const table = (page: string, heading: RegExp): number => {
    const section = pages.get(page)!.prose.split(/^## /m).find((s) => heading.test(s)) ?? "";
    return section.split("\n").filter((l) => l.startsWith("|")).length - 2;
  };
  assertEquals(table("README.md", /^Textbook and kernel/), REMARKS.length);
  assertEquals(table("docs/path.md", /^Where textbook and kernel differ/), REMARKS.length);
});

// ---- doc comments

Deno.test("docs: every export has a module doc with an example that runs", () => {
  for (const [name, file] of Object.entries(config.exports)) {
    const [doc = ""] = /\/\*\*[\s\S]*?\*\//.exec(read(file)) ?? [];
    assert(doc.includes("@module"), `${name}: ${file} has no module doc`);
    assert(/@example[^@]*```ts\n/.test(doc), `${name}: the module doc of ${file} has no @example`);
  }
});
