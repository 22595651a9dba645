/** The lint plugin: what each rule finds, and what it leaves alone. */
import { assertEquals, assertStringIncludes } from "@std/assert";
import lint from "../../../plugins/lab/lint/mod.ts";

/** Ids and lines of what is found. */
function found(source: string): string[] {
  return Deno.lint.runPlugin(lint, "plugin.ts", source).map((d) =>
    `${d.id.replace("netpath/", "")}:${source.slice(0, d.range[0]).split("\n").length}`
  );
}

Deno.test("lint: skb-owner wants the sentence on exported functions, whatever the packet is called", () => {
  assertEquals(found("export function f(skb: SkBuff): void {}"), ["skb-owner:1"]);
  assertEquals(found("/** Frees it. */\nexport function f(a: number, packet: SkBuff | null): void {}"), [
    "skb-owner:2",
  ]);
  for (
    const said of ["Borrows `skb`.", "Takes ownership of `skb`.", "Takes ownership of\n * `skb` unless it returns 0."]
  ) {
    assertEquals(found(`/**\n * ${said}\n */\nexport function f(skb: SkBuff): void {}`), [], said);
  }
  assertEquals(found("function f(skb: SkBuff): void {}\nexport function g(n: number): void {}"), []);
});

Deno.test("lint: no-throw-on-path finds a throw that leaves a function with a packet", () => {
  assertEquals(found("function f(skb: SkBuff) {\n  throw new Error();\n}"), ["no-throw-on-path:2"]);
  assertEquals(found("const f = (skb: SkBuff) => {\n  if (skb.len) {\n    throw 1;\n  }\n};"), ["no-throw-on-path:3"]);
  assertEquals(found("function f(skb: SkBuff) { try { throw 1; } catch { return; } }"), []);
  assertEquals(found("function f(skb: SkBuff) { try { g(); } catch {\n throw 1; } }"), ["no-throw-on-path:2"]);
  assertEquals(found("function f(skb: SkBuff) { return () => { throw 1; }; }\nfunction g() { throw 1; }"), []);
});

Deno.test("lint: no-await-on-path finds async functions that take a packet", () => {
  assertEquals(found("async function f(skb: SkBuff) {}"), ["no-await-on-path:1"]);
  assertEquals(found("const o = { rcv: async (skb: SkBuff) => {} };"), ["no-await-on-path:1"]);
  assertEquals(found("class A { async m(skb: SkBuff) {} }"), ["no-await-on-path:1"]);
  assertEquals(found("async function f(bytes: Uint8Array) {}"), []);
});

Deno.test("lint: no-module-state and no-declare-module", () => {
  assertEquals(
    found("let n = 0;\nexport let m = 1;\nconst k = 2;\nfunction f() { let x = 1; return x + n + m + k; }"),
    [
      "no-module-state:1",
      "no-module-state:2",
    ],
  );
  assertEquals(found("let n = 0;\nconsole.log(n++);"), [], "a program");
  assertEquals(found('declare module "x" {}'), ["no-declare-module:1"]);
  assertEquals(found("declare global {}"), ["no-declare-module:1"]);
  assertEquals(found("namespace N {}"), []);
});

Deno.test("lint: each finding says what to do", () => {
  const [d] = Deno.lint.runPlugin(lint, "plugin.ts", "export function f(skb: SkBuff): void {}");
  assertStringIncludes(d.message, "f takes a packet and does not say whose it is afterwards");
  assertStringIncludes(d.hint!, "Borrows `skb`");
});
