/**
 * The house keeps its own rules: DESIGN's import rule and what goes with it. The rules are in support/architecture.ts;
 * here each runs on the tree, and on a sample that breaks it.
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import {
  asyncRule,
  augmentationRule,
  bytesRule,
  type Doc,
  hostRule,
  importRule,
  importsOf,
  mask,
  ownershipRule,
  placesRule,
  readTree,
  report,
  sizeRule,
  type Source,
  staleRule,
  throwRule,
  type Violation,
} from "./support/architecture.ts";

const ROOT = new URL("../", import.meta.url);
const tree: Source[] = await readTree(ROOT);

async function deno(...args: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args,
    cwd: ROOT,
    env: { NO_COLOR: "1" },
  }).output();
  if (!success) throw new Error(`deno ${args[0]} failed:\n${new TextDecoder().decode(stderr)}`);
  return new TextDecoder().decode(stdout);
}

function holds(violations: Violation[]): void {
  assert(violations.length === 0, `\n${report(violations)}\n`);
}

/** Files from text: a line `--- path` starts each. */
function sample(text: string): Source[] {
  return text.split(/^--- /m).slice(1).map((part) => {
    const at = part.indexOf("\n");
    return { path: part.slice(0, at).trim(), text: part.slice(at + 1) };
  });
}

// On the tree ---------------------------------------------------------------------------------------------------------

Deno.test("imports point down", () => holds(importRule(tree)));
Deno.test("every plugin has its place on a floor", () => holds(placesRule(tree)));
Deno.test("Deno.* only in devices, socket faces, observe, lab and cli.ts", () => holds(hostRule(tree)));
Deno.test("no promises in core and protocol plugins", () => holds(asyncRule(tree)));
Deno.test("no declare module, no declare global", () => holds(augmentationRule(tree)));
Deno.test("bytes move only in core/copy.ts", () => holds(bytesRule(tree)));
Deno.test("nothing throws on the packet path", () => holds(throwRule(tree)));
Deno.test("sizes: core 26 files of 400 lines, median 150; others 800 lines", () => holds(sizeRule(tree)));
Deno.test("no exception outlives its cause", () => {
  for (const rule of [hostRule, asyncRule, bytesRule, throwRule]) rule(tree);
  holds(staleRule(tree));
});

Deno.test("who takes an SkBuff says who owns it", async () => {
  const files = tree.map((f) => f.path).filter((p) => /^(core|plugins)\//.test(p));
  if (files.length === 0) return;
  const doc: Doc = JSON.parse(await deno("doc", "--json", ...files));
  holds(ownershipRule(doc, (url) => url.slice(ROOT.href.length)));
});

Deno.test("deno info sees the imports that the rules see", async () => {
  if (!tree.some((f) => f.path === "mod.ts")) return;
  interface Info {
    modules: Array<{
      specifier: string;
      dependencies?: Array<{ specifier: string; code?: { specifier?: string }; type?: { specifier?: string } }>;
    }>;
  }
  const info: Info = JSON.parse(await deno("info", "--json", "mod.ts"));
  for (const { specifier, dependencies } of info.modules) {
    if (!specifier.startsWith(ROOT.href)) continue;
    const path = specifier.slice(ROOT.href.length);
    const file = tree.find((f) => f.path === path);
    if (!file) continue;
    const want = (dependencies ?? []).map((d) => d.specifier).sort();
    const seen = [...new Set(importsOf(file).map((i) => i.specifier))].sort();
    assertEquals(seen, want, path);
  }
});

// On samples ----------------------------------------------------------------------------------------------------------

Deno.test("the import rule finds what it should", () => {
  const bad = sample(`
--- core/napi.ts
import { x } from "@std/assert";
import { y } from "../plugins/link/ethernet/contract.ts";
--- plugins/link/ethernet/input.ts
import { a } from "../../../core/napi.ts";
import type { b } from "../../network/arp/contract.ts";
import { c } from "zod";
--- plugins/network/arp/input.ts
import {
  type A,
} from "../icmp/contract.ts";
import { b } from "../neigh/table.ts";
import "../../observe/journey/mod.ts";
--- plugins/transport/udp/mod.ts
export { tcp } from "../tcp/contract.ts";
const lazy = () => import("../../../mod.ts");
--- plugins/transport/udp/header.ts
import { a } from "./contract.ts";
--- plugins/transport/udp/contract.ts
import { a } from "./input.ts";
--- plugins/lab/lab/mod.ts
import { a } from "../../network/arp/input.ts";
--- plugins/socket/deno/mod.ts
import { a } from "../../../tests/support/needs.ts";
--- mod.ts
import { a } from "./core/napi.ts";
--- examples/ping.ts
import { a } from "../mod.ts";
`);
  assertEquals(report(importRule(bad)).split("\n"), [
    'core/napi.ts:1 core imports nothing ("@std/assert")',
    'core/napi.ts:2 core imports nothing outside core ("../plugins/link/ethernet/contract.ts")',
    'plugins/link/ethernet/input.ts:1 of core, only core/mod.ts ("../../../core/napi.ts")',
    'plugins/link/ethernet/input.ts:2 link/ethernet imports upward: network/arp ("../../network/arp/contract.ts")',
    'plugins/link/ethernet/input.ts:3 no library on the packet path ("zod")',
    'plugins/network/arp/input.ts:1 arp imports its sibling icmp: not left of a bar ("../icmp/contract.ts")',
    'plugins/network/arp/input.ts:4 of another plugin, only contract.ts (or header.ts) ("../neigh/table.ts")',
    'plugins/network/arp/input.ts:5 nothing on the path imports composition ("../../observe/journey/mod.ts")',
    'plugins/transport/udp/mod.ts:1 udp imports its sibling tcp: not left of a bar ("../tcp/contract.ts")',
    'plugins/transport/udp/mod.ts:2 nothing on the path imports composition ("../../../mod.ts")',
    'plugins/transport/udp/header.ts:1 a header.ts imports only core and other header.ts ("./contract.ts")',
    'plugins/transport/udp/contract.ts:1 a contract.ts does not pull in its plugin\'s inside ("./input.ts")',
    'plugins/lab/lab/mod.ts:1 composition imports a plugin\'s mod.ts, not its inside ("../../network/arp/input.ts")',
    'plugins/socket/deno/mod.ts:1 nothing imports tests or examples ("../../../tests/support/needs.ts")',
    'mod.ts:1 of core, only core/mod.ts ("./core/napi.ts")',
    'examples/ping.ts:1 an example imports only the published name @netpath/stack/... ("../mod.ts")',
  ]);
});

Deno.test("the import rule lets through what is right", () => {
  holds(importRule(sample(`
--- core/napi.ts
import type { SkBuff } from "./sk_buff.ts";
--- plugins/network/ipv4/input.ts
import { drop } from "../../../core/mod.ts";
import { Ipv4Header } from "./header.ts";
import { NF } from "../netfilter/contract.ts";
import { route } from "../fib/contract.ts";
import { UdpHeader } from "../../transport/udp/header.ts";
import { eth } from "../../link/ethernet/contract.ts";
// import { x } from "../icmp/contract.ts";
const s = 'import "../icmp/mod.ts"';
--- plugins/transport/udp/header.ts
import { view } from "../../../core/mod.ts";
import { Ipv4Header } from "../../network/ipv4/header.ts";
--- plugins/transport/udp/contract.ts
import type { Table } from "./table.ts";
--- plugins/device/tap/poll.ts
import process from "node:process";
--- plugins/observe/journey/mod.ts
import { udp } from "../../transport/udp/mod.ts";
import { z } from "zod";
--- examples/ping.ts
import { createHost } from "@netpath/stack";
--- mod.ts
export * from "./plugins/transport/udp/mod.ts";
--- tests/core/napi_test.ts
import { napi } from "../../core/napi.ts";
`)));
});

Deno.test("a plugin outside the table is found", () => {
  const found = placesRule(sample("--- plugins/network/rip/mod.ts\n--- plugins/observe/new/mod.ts\n"));
  assertEquals(found.map((v) => v.path), ["plugins/network/rip/mod.ts"]);
});

Deno.test("the text rules see code and not comments, strings or members", () => {
  const files = sample(`
--- plugins/network/arp/input.ts
// throw, await, Deno.env
const a = "Deno.env"; const b = \`throw \${Deno.env} await\`; const r = /throw "await/;
machine.throw(); x.Deno.y; type T = { async?: boolean };
async function f() {}
throw new Error("x");
--- plugins/device/tap/input.ts
const c = await Deno.open("x");
--- core/ring.ts
if (bad) throw 1;
--- core/plugin.ts
if (bad) throw 1;
`);
  assertEquals(report(hostRule(files)), "plugins/network/arp/input.ts:2 no Deno.* here: Deno.");
  assertEquals(
    report(asyncRule(files)),
    "plugins/network/arp/input.ts:4 no promises in core and protocol plugins: async",
  );
  assertEquals(throwRule(files).map((v) => `${v.path}:${v.line}`), [
    "plugins/network/arp/input.ts:5",
    "core/ring.ts:1",
  ]);
});

Deno.test("module augmentation is found", () => {
  const found = augmentationRule(
    sample('--- core/a.ts\ndeclare module "x" {}\ndeclare  global {}\ndeclare const y: 1;\n'),
  );
  assertEquals(found.map((v) => v.message), ["no declare module", "no declare global"]);
});

Deno.test("byte moves are found, maps and wide arrays are not", () => {
  const found = bytesRule(sample(`
--- core/page_pool.ts
export interface Slab { bytes: Uint8Array<ArrayBuffer>; names: Uint8Array[] }
--- core/copy.ts
slab.bytes.set(other);
--- plugins/transport/udp/output.ts
slab.bytes.set(other, 4);
new Uint8Array(memory.buffer).set(other);
const map = new Map<string, Uint8Array>(), words = new Int32Array(4);
map.set(key, value); words.set([1]); words.copyWithin(0, 1); sysctl.set("a", 1); list.slice(1);
slab.bytes.copyWithin(0, 4, 8);
const payload: Uint8Array = x;
f(payload.slice(2), slab.bytes.subarray(1));
--- plugins/observe/pcapng/mod.ts
slab.bytes.set(other, 4);
`));
  assertEquals(found.map((v) => `${v.path}:${v.line} ${v.message.split(": ")[1]}`), [
    "plugins/transport/udp/output.ts:1 bytes.set(",
    "plugins/transport/udp/output.ts:2 ).set(",
    "plugins/transport/udp/output.ts:5 bytes.copyWithin(",
    "plugins/transport/udp/output.ts:7 payload.slice(",
    "plugins/transport/udp/output.ts:7 bytes.subarray(",
  ]);
});

Deno.test("an SkBuff without an owner is found", async () => {
  const dir = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(
      `${dir}/a.ts`,
      `/** The packet. */
export class SkBuff {}
/** Sends. **Takes ownership of \`skb\`.** */
export function send(skb: SkBuff): void { void skb; }
/**
 * Queues. Takes ownership of \`packet\` unless it
 * returns \`NetdevTx.BUSY\`.
 */
export const queue = (packet: SkBuff): number => packet ? 1 : 0;
/** Says nothing. */
export function lose(skb: SkBuff | null): void { void skb; }
function inner(skb: SkBuff): void { void skb; }
/** A contract. */
export interface Ops {
  /** Borrows \`skb\`. */
  peek(skb: SkBuff): void;
  /** Owns it all. */
  rcv: (skb: SkBuff) => void;
}
/** A device. */
export class Device {
  /** Overloaded. Borrows \`skb\`. */
  put(skb: SkBuff): void;
  put(skb: SkBuff, n: number): void;
  put(skb: SkBuff, _n?: number): void { inner(skb); }
  /** Counts. */
  drop(n: number, skb: SkBuff = new SkBuff()): void { void n, skb; }
}
/** A hook. */
export type Hook = (skb: SkBuff) => number;
`,
    );
    const doc: Doc = JSON.parse(await deno("doc", "--json", `${dir}/a.ts`));
    const found = ownershipRule(doc, () => "a.ts");
    assertEquals(found.map((v) => `${v.line} ${v.message.split(" ")[0]}`).sort(), [
      "11 lose()",
      "18 Ops.rcv()",
      "27 Device.drop()",
      "30 Hook()",
    ]);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

Deno.test("sizes are counted", () => {
  const file = (path: string, lines: number): Source => ({ path, text: "//\n".repeat(lines) });
  assertEquals(
    sizeRule([file("core/a.ts", 100), file("core/b.ts", 399), file("core/c.ts", 10), file("x.ts", 800)]),
    [],
  );
  const text = report(sizeRule([
    ...Array.from({ length: 27 }, (_, i) => file(`core/${i}.ts`, 150)),
    file("core/big.ts", 401),
    file("cli.ts", 801),
    { path: "core/made.ts", text: "// Generated by a program\n" + "//\n".repeat(9000) },
  ]));
  assertStringIncludes(text, "core/:1 29 files, at most 26");
  assertStringIncludes(text, "core/big.ts:1 401 lines, at most 400 in core");
  assertStringIncludes(text, "core/:1 median of 150 lines, under 150");
  assertStringIncludes(text, "cli.ts:1 801 lines, at most 800");
  assertEquals(text.split("\n").length, 4);
});

Deno.test("an empty tree holds", () => {
  for (const rule of [importRule, placesRule, hostRule, asyncRule, augmentationRule, bytesRule, throwRule, sizeRule]) {
    holds(rule([]));
  }
});

Deno.test("masking keeps positions", () => {
  const text = "const a = 1 / 2; // x\nconst t = `a${ {b: '}'} }c`; const r = x => /[/'\"]/g.test(s);\n/* y\n */ z";
  const masked = mask(text);
  assertEquals(masked.length, text.length);
  assertEquals(masked.split("\n").length, text.split("\n").length);
  assertStringIncludes(masked, "1 / 2;");
  assertStringIncludes(masked, "{b: ' '}");
  assertStringIncludes(masked, "g.test(s)");
  assertEquals(masked.includes("y"), false);
});
