import { assertEquals } from "@std/assert";
import { format, parseSummary } from "./run_tests.ts";

Deno.test("a summary is read with and without steps, ignored tests and colours", () => {
  assertEquals(parseSummary("ok | 12 passed (3 steps) | 0 failed | 1 ignored (3ms)"), {
    passed: 12,
    failed: 0,
    skipped: 1,
  });
  assertEquals(parseSummary("\x1b[0m\x1b[31mFAILED\x1b[0m | 1 passed (1 step) | 2 failed (1 step) (38ms)"), {
    passed: 1,
    failed: 2,
    skipped: 0,
  });
  assertEquals(parseSummary("ok | 7 passed | 0 failed | 3 ignored (1 step) | 2 filtered out (1ms)")?.skipped, 3);
});

Deno.test("the last summary counts, and its absence is seen", () => {
  assertEquals(parseSummary("ok | 99 passed | 0 failed\nnoise\nFAILED | 1 passed | 1 failed (2ms)\n")?.passed, 1);
  assertEquals(parseSummary("error: Type checking failed."), null);
});

Deno.test("the last line is the one programs read", () => {
  assertEquals(format({ passed: 3, failed: 0, skipped: 2 }), "3 passed, 0 failed, 2 skipped");
});

Deno.test("failures, skips and type errors reach the last line and the exit code", async () => {
  const dir = await Deno.makeTempDir();
  const run = async (text: string) => {
    await Deno.writeTextFile(`${dir}/a_test.ts`, text);
    const { code, stdout } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "--allow-all", new URL("./run_tests.ts", import.meta.url).pathname, dir],
      stderr: "null",
    }).output();
    return [code, new TextDecoder().decode(stdout).trimEnd().split("\n").at(-1)];
  };
  try {
    const good = `Deno.test("a", async (t) => { await t.step("s", () => {}); });`;
    assertEquals(await run(good), [0, "1 passed, 0 failed, 0 skipped"]);
    const bad = good + `Deno.test("b", () => { throw 1; }); Deno.test.ignore("c", () => {});`;
    assertEquals(await run(bad), [1, "1 passed, 1 failed, 1 skipped"]);
    assertEquals(await run(good + `const n: number = "s";`), [1, "0 passed, 1 failed, 0 skipped"]);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

Deno.test("files that share an isolate are all run, and a failure is found in its file", async () => {
  // The signs have a meaning in URLs.
  const dir = await Deno.makeTempDir({ prefix: "a b#c%d" });
  const run = async (...args: string[]) => {
    args.push("--no-check");
    const { code, stdout } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "--allow-all", "--no-check", new URL("./run_tests.ts", import.meta.url).pathname, ...args],
      cwd: dir,
      stderr: "null",
    }).output();
    const text = new TextDecoder().decode(stdout);
    return { code, text, last: text.trimEnd().split("\n").at(-1) };
  };
  try {
    await Deno.mkdir(`${dir}/tests/core`, { recursive: true });
    await Deno.mkdir(`${dir}/tests/oracle`);
    for (let i = 1; i <= 25; i++) {
      await Deno.writeTextFile(`${dir}/tests/core/f${i}_test.ts`, `Deno.test("core ${i}", () => {});`);
    }
    await Deno.writeTextFile(`${dir}/tests/alone_test.ts`, `Deno.test("alone", () => {});`);
    await Deno.writeTextFile(`${dir}/tests/oracle/a_test.ts`, `Deno.test("oracle", () => {});`);
    const all = await run();
    assertEquals([all.code, all.last], [0, "27 passed, 0 failed, 0 skipped"]);
    assertEquals((await run(".")).last, all.last);
    assertEquals((await run("tests/nothing_test.ts")).last, "0 passed, 1 failed, 0 skipped");
    assertEquals((await run("tests/core/f3_test.ts", "--serial")).last, "1 passed, 0 failed, 0 skipped");
    assertEquals((await run("tests/core", "--filter", "core 2")).last, "7 passed, 0 failed, 0 skipped");
    await Deno.writeTextFile(`${dir}/tests/core/f7_test.ts`, `Deno.test("core 7", () => { throw new Error("x"); });`);
    const bad = await run("tests/core");
    assertEquals([bad.code, bad.last], [1, "24 passed, 1 failed, 0 skipped"]);
    assertEquals(/core 7 => .*tests\/core\/f7_test\.ts/.test(bad.text), true, bad.text);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});
