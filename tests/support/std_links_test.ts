import {
  assert,
  assertEquals,
  assertExists,
  assertInstanceOf,
  AssertionError,
  assertRejects,
  assertThrows,
} from "@std/assert";
import { parseArgs } from "@std/cli";
import { parseArgs as p2 } from "@std/cli/parse-args";
import { parse, stringify } from "@std/yaml";
import { afterAll, beforeEach, describe, it } from "@std/testing/bdd";
import { FakeTime } from "@std/testing/time";
import { assertSpyCalls, spy, stub } from "@std/testing/mock";
import fc from "fast-check";
import { z } from "zod";

Deno.test("assert", async () => {
  const x: string | undefined = [..."a"].at(0);
  assert(x !== undefined);
  const n: number = x.length;
  const y: number | null = Math.random() > 2 ? null : n;
  assertExists(y);
  assertEquals(y + 1, 2);
  // @ts-expect-error types are seen
  assertThrows(() => assertEquals(1, "1"), AssertionError);
  const e: unknown = await assertRejects(() => Promise.reject(new TypeError("no")), TypeError, "no");
  assertInstanceOf(e, TypeError);
  assertEquals(e.message, "no");
});
Deno.test("cli", () => {
  const a = parseArgs(["--json", "f", "-v", "--seed=3", "x", "--tag", "a", "--tag", "b"], {
    boolean: ["v"],
    string: ["json", "seed", "tag"],
    collect: ["tag"],
    default: { seed: "1" },
  });
  const v: boolean = a.v;
  const s: string = a.seed;
  const j: string | undefined = a.json;
  const t: string[] = a.tag;
  // @ts-expect-error json may be missing
  const bad: string = a.json;
  void bad;
  assertEquals([v, s, j, t, a._], [true, "3", "f", ["a", "b"], ["x"]]);
  assertEquals(p2(["--a"]).a, true);
});
Deno.test("yaml", () => assertEquals(parse(stringify({ a: [1, { b: "c" }] })), { a: [1, { b: "c" }] }));
describe("bdd", () => {
  let n = 0;
  beforeEach(() => {
    n++;
  });
  afterAll(() => assertEquals(n, 2));
  it("one", () => assertEquals(n, 1));
  it("two", async () => {
    await Promise.resolve();
    assertEquals(n, 2);
  });
  it.skip("three", () => {});
});
Deno.test("time", () => {
  using time = new FakeTime(1000);
  let hit = 0;
  setTimeout(() => hit = Date.now(), 500);
  time.tick(499);
  assertEquals(hit, 0);
  time.tick(1);
  assertEquals(hit, 1500);
});
Deno.test("mock", () => {
  const f = spy((a: number) => a + 1);
  assertEquals(f(1), 2);
  assertSpyCalls(f, 1);
  assertEquals(f.calls[0]!.args, [1]);
  const o = {
    m(a: number): number {
      return a;
    },
  };
  {
    using s = stub(o, "m", () => 7);
    assertEquals(o.m(1), 7);
    assertSpyCalls(s, 1);
  }
  assertEquals(o.m(1), 1);
});
Deno.test("npm", () => {
  fc.assert(fc.property(fc.nat(), (n) => n >= 0));
  assertEquals(z.number().parse(1), 1);
});
