import { assertEquals } from "@std/assert";
import { needing, tryImport } from "./npm.ts";

Deno.test("what cannot be loaded makes a test that is skipped and says why", async () => {
  const missing = await tryImport("file:///no/such/module.ts");
  const there = await tryImport<{ needing: unknown }>(new URL("./npm.ts", import.meta.url).href);
  assertEquals([missing, there?.needing], [null, needing]);
  assertEquals(needing("a test", { "npm:x@1": missing, "npm:y@1": there }), {
    name: "a test [needs npm:x@1]",
    ignore: true,
  });
  assertEquals(needing("a test", { "npm:y@1": there }), { name: "a test", ignore: false });
});
