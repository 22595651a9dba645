import { assertEquals } from "@std/assert";
import {
  compare,
  comparisonText,
  findScripts,
  main,
  parseReference,
  report,
  resultText,
  runScript,
  totalText,
} from "../../../plugins/lab/packetdrill/mod.ts";

const PASS = "0 socket(..., SOCK_DGRAM, IPPROTO_UDP) = 3\n";
const FAIL = "0 close(3) = 0\n";
const UNSUPPORTED = "0 mmap(3) = 0\n";

const results = [
  runScript("a/google/close/one.pkt", PASS),
  runScript("a/google/close/two.pkt", FAIL),
  runScript("a/freebsd/x.pkt", UNSUPPORTED),
];

Deno.test("the report counts and lists", () => {
  const all = report(results, 2);
  assertEquals([all.passed, all.failed, all.unsupported, all.within_1ms, all.seconds], [1, 1, 1, 1, 2]);
  assertEquals(all.scripts.map((s) => [s.file, s.result, s.line, s.error]), [
    ["a/google/close/one.pkt", "pass", 0, ""],
    ["a/google/close/two.pkt", "fail", 1, "the call gave -1 EBADF, not 0"],
    ["a/freebsd/x.pkt", "unsupported", 1, "the system call mmap()"],
  ]);
  assertEquals(totalText(all), "1 passed, 1 failed, 1 unsupported of 3 scripts; 1 pass within 1 ms; 2.0 s");
  assertEquals(resultText(results[2]), "UNSUPPORTED a/freebsd/x.pkt:1: the system call mmap()");
});

Deno.test("compared with a kernel: what passes there is the denominator", () => {
  const reference = parseReference(
    "suite\tscript\tvariant\tresult\n" +
      "google\tclose/one.pkt\tipv4\tpass\n" +
      "google\tclose/two.pkt\tipv4\tpass\n" +
      "google\tclose/two.pkt\tipv6\tfail\n" +
      "google\tclose/not-run.pkt\tipv4\tpass\n" +
      "freebsd\tx.pkt\tipv4\tfail\n",
  );
  const rows = compare(results, reference);
  assertEquals(rows, [
    { suite: "google", of: 2, passed: 1, missing: ["close/two.pkt"], beyond: [] },
    { suite: "freebsd", of: 0, passed: 0, missing: [], beyond: [] },
  ]);
  assertEquals(comparisonText(rows).split("\n").at(-1), "all                  1/2 (50.0 %)");
});

Deno.test("the command: folders, JSON, exit codes", () => {
  const dir = Deno.makeTempDirSync();
  const silent = (args: string[]): number => {
    const { log, error } = console;
    console.log = console.error = () => {};
    try {
      return main(args);
    } finally {
      Object.assign(console, { log, error });
    }
  };
  try {
    Deno.mkdirSync(`${dir}/sub`);
    Deno.writeTextFileSync(`${dir}/b.pkt`, PASS);
    Deno.writeTextFileSync(`${dir}/sub/a.pkt`, FAIL);
    Deno.writeTextFileSync(`${dir}/readme.txt`, "no script");
    assertEquals(findScripts([dir]), [`${dir}/b.pkt`, `${dir}/sub/a.pkt`]);
    assertEquals(silent([dir, "--json", `${dir}/out.json`]), 1);
    const json = JSON.parse(Deno.readTextFileSync(`${dir}/out.json`));
    assertEquals([json.passed, json.failed, json.unsupported, json.scripts.length], [1, 1, 0, 2]);
    assertEquals(Object.keys(json.scripts[0]).slice(0, 5), ["file", "result", "seconds", "line", "error"]);
    assertEquals(silent([`${dir}/b.pkt`]), 0);
    assertEquals(silent([`${dir}/b.pkt`, "--mutate", "2"]), 0);
    assertEquals(silent(["--help"]), 0);
    assertEquals([silent([]), silent(["--nonsense"]), silent([`${dir}/none.pkt`]), silent(["--seed=x", dir])], [
      2,
      2,
      2,
      2,
    ]);
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
});
