import { assertEquals } from "@std/assert";
import { findScripts, parseScript } from "../../../plugins/lab/packetdrill/mod.ts";

/** Scripts of others, beside the repository: data for the interpreter, no part of it. */
const SHARED = new URL("../../../../shared/packetdrill", import.meta.url).pathname;

function has(path: string): boolean {
  try {
    return Deno.statSync(path).isDirectory;
  } catch {
    return false;
  }
}

const there = has(SHARED);

Deno.test({
  name: `every script of the public suites parses${there ? "" : " [needs ../shared/packetdrill]"}`,
  ignore: !there,
  fn() {
    const wrong: string[] = [];
    for (const file of findScripts([SHARED])) {
      try {
        parseScript(file, Deno.readTextFileSync(file));
      } catch (error) {
        wrong.push(String(error));
      }
    }
    assertEquals(wrong, []);
  },
});
