/**
 * Scripts of our own. The stimuli (calls, and packets of the peer) are written by hand; what the stack must answer was
 * recorded from Linux 6.18.44 over a TUN: packets with their windows, results, TCP_INFO.
 */
import { assert } from "@std/assert";
import { findScripts, mutateScripts, runScript } from "../../plugins/lab/packetdrill/mod.ts";

const HERE = new URL(".", import.meta.url).pathname.replace(/\/$/, "");
const scripts = findScripts([HERE]).map((file) => ({
  file: file.slice(HERE.length + 1),
  source: Deno.readTextFileSync(file),
}));

for (const { file, source } of scripts) {
  Deno.test(`as Linux 6.18: ${file}`, () => {
    const r = runScript(file, source);
    assert(r.result === "pass", `${r.file}:${r.line}: ${r.error}\nline: ${r.event}\nactual: ${r.actual}`);
  });
}

Deno.test("scripts of our own with one thing changed fail", () => {
  const outcome = mutateScripts(scripts.filter((_, i) => i % 4 === 0), 1);
  assert(outcome.mutants >= scripts.length / 5, `${outcome.mutants} mutants`);
  assert(outcome.ratio >= 0.95, JSON.stringify(outcome.survivors));
});
