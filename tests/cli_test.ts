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

const COMMANDS = [
  "demo",
  "run",
  "check",
  "graph",
  "trace",
  "proc",
  "plugins",
  "packetdrill",
  "livelock",
  "bench",
  "relay",
];
const TWO = new URL("../examples/labs/two_hosts.yaml", import.meta.url).pathname;

Deno.test("cli: --help shows the commands, and each command has its own with examples; exit codes are documented", async () => {
  const help = await cli(["--help"]);
  assertEquals([help.code, help.err], [0, ""]);
  const listed = [...help.out.split("commands:\n")[1].split("\n\n")[0].matchAll(/^ {2}(\w+) /gm)].map((m) => m[1]);
  assertEquals(listed, COMMANDS);
  assertStringIncludes(help.out, "examples:");
  assertStringIncludes(help.out, "exit code:");
  for (const name of COMMANDS) {
    const own = await cli([name, "--help"]);
    assertEquals([own.code, own.err], [0, ""], name);
    assertStringIncludes(own.out.toLowerCase(), "examples:", name);
    if (name !== "packetdrill") assertStringIncludes(own.out, "exit code: ", name);
    assertEquals((await cli(["help", name])).out, own.out);
    for (const line of own.out.split("\n")) assert(line.length <= 140, line);
  }
  assertEquals((await cli([])).code, 2);
  assertMatch((await cli(["--version"])).out, /^netpath \d+\.\d+\.\d+$/);
});

Deno.test("cli: the version is that of deno.json", async () => {
  const { version } = JSON.parse(await Deno.readTextFile(new URL("../deno.json", import.meta.url)));
  assertEquals((await cli(["--version"])).out, `netpath ${version}`);
});

Deno.test("cli: an unknown command or option is an error with a suggestion, exit code 2", async () => {
  const typo = await cli(["dmeo"]);
  assertEquals([typo.code, typo.out], [2, ""]);
  assertStringIncludes(typo.err, 'did you mean "demo"?');
  assertStringIncludes((await cli(["frobnicate"])).err, "there are: demo");
  const misspelt: [args: string[], says: string][] = [
    [["--hepl"], 'Cannot run "--hepl": unknown option; did you mean "--help"? (netpath --help)'],
    [["help", "trac"], 'Cannot run "trac": unknown command; did you mean "trace"? (netpath --help)'],
    [["demo", "--sede", "3"], 'Cannot use "--sede": did you mean --seed? (netpath demo --help)'],
    [["run", "--jsno", TWO], 'Cannot use "--jsno": did you mean --json? (netpath run --help)'],
    [["check", "--verbose", TWO], 'Cannot use "--verbose": unknown option (netpath check --help)'],
    [["graph", "--x", TWO], 'Cannot use "--x": unknown option (netpath graph --help)'],
    [["trace", "--drop-only", TWO], 'Cannot use "--drop-only": did you mean --drops-only? (netpath trace --help)'],
    [["trace", "--on", "c", TWO], 'Cannot find host "c": there are a, b (netpath trace --help)'],
    [["trace", "--limit", "0", TWO], 'Cannot use --limit "0": a whole number from 1 to 1000000 (netpath trace --help)'],
    [["proc", "--att", "1s", TWO], 'Cannot use "--att": did you mean --at? (netpath proc --help)'],
    [
      ["proc", "--at", "soon", TWO],
      'Cannot use --at "soon": expected a time like 10ms, 200us or 1s (netpath proc --help)',
    ],
    [["proc", TWO, "c"], 'Cannot find host "c": there are a, b (netpath proc --help)'],
    [["proc", TWO, "a", "sss"], 'Cannot show command "sss": did you mean "ss"? (netpath proc --help)'],
    [["plugins", "--jason"], 'Cannot use "--jason": did you mean --json? (netpath plugins --help)'],
    [["plugins", TWO, "a", "b"], 'Cannot use "b": one lab file and one host at most (netpath plugins --help)'],
    [["bench", "--round", "3"], 'Cannot use "--round": did you mean --rounds? (netpath bench --help)'],
    [["livelock", "--mode", "nappi"], 'Cannot use --mode "nappi": did you mean napi? (netpath livelock --help)'],
    [["livelock", "--cost", "irq"], 'Cannot use --cost "irq": NAME=NS, like irq=2000 (netpath livelock --help)'],
    [["livelock", "--load", "1e6"], 'Cannot use --load "1e6": a whole number from 1 to 100000000'],
    [["packetdrill", "--verbos", "x"], "Cannot use --verbos: did you mean --verbose? (netpath packetdrill --help)"],
    [["run"], "Cannot go on without a lab file (netpath run --help)"],
    [["trace"], "Cannot go on without a lab file (netpath trace --help)"],
    [["run", "nowhere.yaml"], "Cannot read nowhere.yaml: No such file or directory (netpath run --help)"],
  ];
  for (const [args, says] of misspelt) {
    const ran = await cli(args);
    assertEquals([ran.code, ran.out], [2, ""], args.join(" "));
    assert(ran.err === says || ran.err.startsWith(says.split(" (")[0]), `${ran.err}\n${says}`);
    assert(!ran.err.includes("    at "), ran.err);
  }
  for (const bad of [["--seed", "x"], ["--size", "1473"], ["--width", "10"], ["--size=-1"]]) {
    const ran = await cli(["demo", ...bad]);
    assertEquals([ran.code, ran.out], [2, ""], bad.join(" "));
    assertStringIncludes(ran.err, `Cannot use ${bad[0].split("=")[0]}`);
  }
});

Deno.test("cli run: each outcome and a verdict; exit code 1 when something does not hold; JSON lines; another seed", async () => {
  const ran = await cli(["run", TWO]);
  assertEquals([ran.code, ran.err], [0, ""]);
  assertStringIncludes(ran.out, "4 of 4 hold");
  const json = await cli(["run", "--json", "--seed", "9", TWO]);
  const lines = json.out.split("\n").map((l) => JSON.parse(l));
  assertEquals(lines.at(-1).ok, true);
  assertEquals(lines.length, 5);

  const folder = await Deno.makeTempDir({ prefix: "netpath-cli-" });
  try {
    const file = `${folder}/fails.yaml`;
    const lab = "hosts: { a:, b: }\nlinks: [[a, b]]\ncaptures: [{ on: a:eth0, file: a.pcap }]\n" +
      "expect: [{ ping: { from: a, to: 10.0.0.77 } }]\n";
    await Deno.writeTextFile(file, lab);
    const failed = await cli(["run", "--no-captures", file]);
    assertEquals([failed.code, [...Deno.readDirSync(folder)].map((e) => e.name)], [1, ["fails.yaml"]]);
    assertStringIncludes(failed.out, "FAILED ping a to 10.0.0.77: 0 of 1 answered");
    await cli(["run", file]);
    assertEquals([...Deno.readDirSync(folder)].map((e) => e.name).sort(), ["a.pcap", "fails.yaml"]);
    // The same from the command line twice: the same bytes.
    const first = await Deno.readFile(`${folder}/a.pcap`);
    await cli(["run", file]);
    assertEquals(await Deno.readFile(`${folder}/a.pcap`), first);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("cli check and graph: what a file has, and how it is joined", async () => {
  const checked = await cli(["check", TWO]);
  assertEquals([checked.code, checked.out.replace(TWO, "two.yaml"), checked.err], [
    0,
    "two.yaml: 2 hosts, 0 switches, 1 link, 4 expectations",
    "",
  ]);
  const graph = await cli(["graph", TWO.replace("two_hosts", "vlans")]);
  assertEquals(graph.code, 0);
  assertStringIncludes(graph.out, "graph LR\n");
  assertStringIncludes(graph.out, 'red ---|"eth0, pvid 10"| sw');
});

Deno.test("cli: on a terminal, a long run says on stderr how far it is, and wipes it before it goes on", async () => {
  const told: string[] = [];
  const io: CliOutput = { log: () => {}, error: () => {}, color: false, width: 80, progress: (t) => told.push(t) };
  const folder = await Deno.makeTempDir({ prefix: "netpath-cli-" });
  try {
    const app = `export default async (host, { signal }) => {
      const end = performance.now() + 1600;
      while (!signal.aborted && performance.now() < end) await new Promise((done) => setTimeout(done, 1));
    };`;
    await Deno.writeTextFile(`${folder}/busy.ts`, app);
    await Deno.writeTextFile(`${folder}/busy.yaml`, "name: busy\nhosts: { a: { apps: [./busy.ts] } }\n");
    assertEquals(await main(["run", `${folder}/busy.yaml`], io), 0);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
  assertMatch(told[0], /^\rbusy: [\d.]+ s of virtual time after [\d.]+ s *$/);
  assertMatch(told.at(-1)!, /^\r +\r$/);
  for (const text of told) assert(text.length <= 82, text);
  // A short run says nothing.
  told.length = 0;
  assertEquals(await main(["run", TWO], io), 0);
  assertEquals(told, []);
});

Deno.test("cli: Ctrl-C ends a run at once with exit code 130, and leaves no file and no process behind", async () => {
  const folder = await Deno.makeTempDir({ prefix: "netpath-cli-" });
  try {
    const app = `export default async (host, { signal }) => {
      console.error("started");
      while (!signal.aborted) await new Promise((done) => setTimeout(done, 1));
    };`;
    await Deno.writeTextFile(`${folder}/endless.ts`, app);
    await Deno.writeTextFile(
      `${folder}/lab.yaml`,
      "hosts: { a: { apps: [./endless.ts] }, b: }\nlinks: [[a, b]]\nstop: 1000000s\n" +
        "captures: [{ on: a:eth0, file: a.pcap }]\n",
    );
    for (const command of ["run", "trace", "proc"]) {
      const child = new Deno.Command(Deno.execPath(), {
        args: [
          "run",
          "--allow-read",
          "--allow-write",
          "--no-prompt",
          "--no-check",
          "cli.ts",
          command,
          `${folder}/lab.yaml`,
        ],
        cwd: ROOT,
        stdin: "null",
        stdout: "piped",
        stderr: "piped",
      }).spawn();
      const reader = child.stderr.pipeThrough(new TextDecoderStream()).getReader();
      let err = "";
      while (!err.includes("started")) err += (await reader.read()).value ?? "";
      const began = performance.now();
      child.kill("SIGINT");
      for (let r = await reader.read(); !r.done; r = await reader.read()) err += r.value;
      const { code } = await child.status;
      await child.stdout.cancel();
      assertEquals(code, 130, err);
      assertStringIncludes(err, "lab.yaml was interrupted");
      assert(performance.now() - began < 3000);
      assertEquals([...Deno.readDirSync(folder)].map((e) => e.name).sort(), ["endless.ts", "lab.yaml"]);
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("cli packetdrill: passes through to the scripts' runner", async () => {
  const folder = await Deno.makeTempDir({ prefix: "netpath-cli-" });
  try {
    const script = `${folder}/listen.pkt`;
    await Deno.writeTextFile(
      script,
      "0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n+0 bind(3, ..., ...) = 0\n+0 listen(3, 1) = 0\n" +
        "+0 < S 0:0(0) win 32792 <mss 1000>\n+0 > S. 0:0(0) ack 1 <mss 1460>\n",
    );
    const ran = await cli(["packetdrill", script]);
    assertEquals([ran.code, ran.err], [0, ""]);
    assertStringIncludes(ran.out, "listen.pkt");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("cli bench: passes through to the bench of the repository", async () => {
  const listed = await cli(["bench", "--list"]);
  assertEquals([listed.code, listed.err], [0, ""]);
  const rows = listed.out.split("\n");
  for (const row of ["tcp.bulk", "udp.64", "yard.memcpy"]) assert(rows.includes(row), row);
  const none = await cli(["bench", "nothing.like.this"]);
  assertEquals(none.code, 2);
  assertStringIncludes(none.err, "No bench row begins with nothing.like.this");
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
