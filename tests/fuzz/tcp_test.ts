import { assert } from "@std/assert";
import { fuzzTcpOnce } from "./tcp.ts";

Deno.test("bent TCP segments throw nothing, leak nothing, and leave nothing behind", () => {
  for (let seed = 1; seed <= 3; seed++) assert(fuzzTcpOnce(seed, 1000) >= 1000);
});
