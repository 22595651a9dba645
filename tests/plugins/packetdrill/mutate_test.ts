import { assertEquals } from "@std/assert";
import { mutateScripts, mutationsOf, mutationText, parseScript } from "../../../plugins/lab/packetdrill/mod.ts";

const GOOD = `
   0 socket(..., SOCK_DGRAM, IPPROTO_UDP) = 3
  +0 bind(3, ..., ...) = 0
  +0 connect(3, ..., ...) = 0
  +0 write(3, ..., 100) = 100
  +0 > udp (100)
 +.1 < udp (20)
  +0 read(3, ..., 1000) = 20
  +0 write(3, ..., 300) = 300
  +0 > udp (300)
`;

Deno.test("every mutant of a passing script fails", () => {
  const all = mutationsOf(parseScript("good.pkt", GOOD)).length;
  const outcome = mutateScripts([{ file: "good.pkt", source: GOOD }], all + 5);
  assertEquals(outcome, { scripts: 1, skipped: 0, mutants: all, killed: all, ratio: 1, survivors: [] });
  assertEquals(
    mutationText(outcome, true),
    `${all} of ${all} mutants failed (100.0 %), 1 scripts, 0 left out because ` +
      "they do not pass",
  );
});

Deno.test("a script that does not pass makes no mutants", () => {
  const outcome = mutateScripts([{ file: "bad.pkt", source: GOOD.replace("udp (300)", "udp (301)") }], 3);
  assertEquals([outcome.scripts, outcome.skipped, outcome.mutants, outcome.ratio], [0, 1, 0, 1]);
});

Deno.test("what is changed: every field that a line writes, once each", () => {
  const what = (line: string): string[] => mutationsOf(parseScript("x.pkt", line)).map((m) => m.what);
  assertEquals(what("+0 > [ect0] P. 1:11(10) ack 1 win 5 <nop,nop,TS val 1 ecr 2>"), [
    "seq + 1",
    "payload bytes + 1",
    "PSH flipped",
    "FIN flipped",
    "ACK flipped",
    "ack + 1",
    "window + 1",
    "ECN field",
    "one nop more",
    "option TS",
    "time is 9000 usec later",
  ]);
  // The number of a SYN is a name; options that nobody compares are left alone.
  assertEquals(what("* > S 0:0(0) <...>"), ["payload bytes + 1", "PSH flipped", "FIN flipped", "ACK flipped"]);
  assertEquals(what("0 read(3, ..., 5) = 5"), ["result of the call"]);
  // A descriptor is the script's own name for it.
  assertEquals(what("0 accept(3, ..., ...) = 4"), []);
});
