import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { type CliOutput, main } from "../cli.ts";

const ROOT = new URL("../", import.meta.url).pathname;

interface Ran {
  code: number;
  out: string;
  err: string;
}

async function cli(args: string[], look: Partial<Pick<CliOutput, "color" | "width">> = {}): Promise<Ran> {
  const out: string[] = [];
  const err: string[] = [];
  const io: CliOutput = { log: (t) => out.push(t), error: (t) => err.push(t), color: false, width: 140, ...look };
  const code = await main(args, io);
  return { code, out: out.join("\n"), err: err.join("\n") };
}

Deno.test("cli: --help shows the commands, and each command has its own with examples", async () => {
  const help = await cli(["--help"]);
  assertEquals([help.code, help.err], [0, ""]);
  assertStringIncludes(help.out, "demo");
  const demo = await cli(["demo", "--help"]);
  assertEquals(demo.code, 0);
  assertStringIncludes(demo.out, "examples:");
  assertEquals((await cli([])).code, 2);
  assertMatch((await cli(["--version"])).out, /^netpath \d+\.\d+\.\d+$/);
});

Deno.test("cli: an unknown command or option is an error with a suggestion, exit code 2", async () => {
  const typo = await cli(["dmeo"]);
  assertEquals([typo.code, typo.out], [2, ""]);
  assertStringIncludes(typo.err, 'did you mean "demo"?');
  assertStringIncludes((await cli(["frobnicate"])).err, "there are: demo");
  const option = await cli(["demo", "--sede", "3"]);
  assertEquals(option.code, 2);
  assertStringIncludes(option.err, "did you mean --seed?");
  for (const bad of [["--seed", "x"], ["--size", "1473"], ["--width", "10"], ["--size=-1"]]) {
    const ran = await cli(["demo", ...bad]);
    assertEquals([ran.code, ran.out], [2, ""], bad.join(" "));
    assertStringIncludes(ran.err, `Cannot use ${bad[0].split("=")[0]}`);
  }
});

Deno.test("cli demo: prints the way down and up and the ledger as in the snapshot; the same for the same seed", async () => {
  const first = await cli(["demo"]);
  assertEquals([first.code, first.err], [0, ""]);
  assertEquals((await cli(["demo"])).out, first.out);
  assert(!first.out.includes("\x1b["));
  for (const l of first.out.split("\n")) assert(l.length <= 140, l);
  const snapshot = new URL("fixtures/demo.txt", import.meta.url);
  if (Deno.args.includes("--update")) await Deno.writeTextFile(snapshot, first.out + "\n");
  assertEquals(first.out + "\n", await Deno.readTextFile(snapshot), "run with `-- --update` when the change is meant");
});

Deno.test("cli demo: every claim that a ping, a datagram and a request can show is shown", async () => {
  const { out } = await cli(["demo"]);
  const shown = new Set(out.match(/\b[RTC]\d{1,2}\b/g));
  const missing = [
    ...[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 19, 20, 21, 22, 23, 24].map((n) => `R${n}`),
    ...[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21].map((n) => `T${n}`),
    "C1",
    "C2",
  ].filter((claim) => !shown.has(claim));
  assertEquals(missing, []);
});

Deno.test("cli demo: every step it shows has words, not only a tracepoint's name", async () => {
  const { out } = await cli(["demo"]);
  const bare = out.split("\n").filter((l) => /^\s*[▼▲·] \w+ +[a-z_0-9]+:[a-z_0-9]+/.test(l));
  assertEquals(bare, []);
});

Deno.test("cli demo: colour when asked for, narrow when narrow, JSON lines for programs", async () => {
  assertStringIncludes((await cli(["demo"], { color: true })).out, "\x1b[32m");
  assert(!(await cli(["demo", "--no-color"], { color: true })).out.includes("\x1b["));
  const { out } = await cli(["demo", "--width", "90"]);
  assertEquals(out.split("\n").filter((l) => /^\s*[▼▲·] |≡/.test(l) && l.length > 90), []);
  const json = (await cli(["demo", "--json", "--size", "100"])).out.split("\n").map((l) => JSON.parse(l));
  assert(json.some((r) => r.point === "udp:udp_rcv" && r.layout.len === 108));
  assertEquals((await cli(["demo", "--json", "--seed", "2"])).code, 0);
});

Deno.test("cli demo: as a program it needs no permission, ends by itself, and is plain in a pipe", async () => {
  const started = performance.now();
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-prompt", "cli.ts", "demo"],
    cwd: ROOT,
    stdin: "null",
  }).output();
  const text = new TextDecoder().decode(stdout);
  assertEquals(code, 0, new TextDecoder().decode(stderr));
  assert(!text.includes("\x1b["));
  assertEquals(text, (await cli(["demo"])).out + "\n");
  assert(performance.now() - started < 15_000);
});
