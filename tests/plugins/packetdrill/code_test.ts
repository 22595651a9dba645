import { assertEquals, assertThrows } from "@std/assert";
import { CodeError, runCode, type Value } from "../../../plugins/lab/packetdrill/mod.ts";

function holds(text: string, names: Record<string, Value> = {}): void {
  runCode(text, new Map(Object.entries(names)));
}

Deno.test("asserts hold or fail with their text and message", () => {
  holds("assert tcpi_snd_cwnd == 10, tcpi_snd_cwnd", { tcpi_snd_cwnd: 10 });
  const error = assertThrows(() => holds("assert cwnd == 10, 'cwnd=%d' % cwnd", { cwnd: 12 }), CodeError);
  assertEquals([error.isAssert, error.message], [true, "assert cwnd == 10, 'cwnd=%d' % cwnd (cwnd=12)"]);
});

Deno.test("chained comparisons, and, or, not", () => {
  holds("assert 5000 <= rtt <= 20000", { rtt: 5000 });
  assertThrows(() => holds("assert 5000 <= rtt <= 20000", { rtt: 20001 }), CodeError);
  assertThrows(() => holds("assert 5000 <= rtt <= 20000", { rtt: 4999 }), CodeError);
  holds("assert a == 1 and not b == 1 or c", { a: 1, b: 2, c: 0 });
  assertThrows(() => holds("assert a == 1 and b == 1 or c", { a: 1, b: 2, c: 0 }), CodeError);
  holds("assert x in (1, 2, 3) and x not in [4]", { x: 2 });
  // The side that does not count is not looked up.
  holds("assert True or nowhere");
});

Deno.test("arithmetic has Python's precedence and integers that do not wrap", () => {
  holds("assert 8940 - 12 == 8928 and 2 + 3 * 4 == 14 and 7 // 2 == 3 and -7 // 2 == -4 and -7 % 3 == 2");
  holds("assert (options & 32) != 0 and options & 7 == 7", { options: 39 });
  holds("assert 0xffffffff & 0x80000000 == 2147483648 and 1 << 33 == 8589934592");
  holds("assert abs(-3) == 3 and min(4, 2) == 2 and max(1, 5) == 5 and int(3.9) == 3");
});

Deno.test("statements: several a line, continued, commented, assigned", () => {
  const names = new Map<string, Value>([["tcpi_snd_cwnd", 58]]);
  const printed: string[] = [];
  runCode(
    "print(tcpi_snd_cwnd); cwnd = 58; assert tcpi_snd_cwnd == cwnd, tcpi_snd_cwnd",
    names,
    (l) => printed.push(l),
  );
  runCode("cwnd += 1 # one more\nassert cwnd == 59", names);
  runCode("assert cwnd == 59; \\\n   assert cwnd != 58;\\\n", names);
  runCode("assert (cwnd +\n  1) == 60", names);
  assertEquals(printed, ["58"]);
  assertEquals(names.get("cwnd"), 59);
});

Deno.test("what is unknown fails, it does not hold", () => {
  const fails = (text: string, message: string): void => {
    const error = assertThrows(() => holds(text), CodeError);
    assertEquals([error.isAssert, error.message], [false, message]);
  };
  fails("assert tcpi_nothing == 1", "name 'tcpi_nothing' is not defined");
  fails("import os", '"import" is not in the language of asserts: import os');
  fails("assert open('x')", "the function open() is not in the language of asserts");
  fails("assert 1 1", "not understood: 1");
});
