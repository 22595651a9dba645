/**
 * The rules of the house, as functions from source files to violations. tests/architecture_test.ts runs them on the tree
 * and on small samples. What changes when a plugin is added is the data: {@linkcode FLOORS} and {@linkcode ALLOWED}.
 */

/** One file: its path from the root of the repository, with `/`, and its text. */
export interface Source {
  path: string;
  text: string;
}

/** A rule that does not hold somewhere. */
export interface Violation {
  path: string;
  line: number;
  message: string;
}

/**
 * The floors from bottom to top, each as a packet meets its plugins: a plugin may use the contracts of lower floors and
 * of plugins left of a bar (an earlier group) on its own floor. A plugin that is not here is a violation.
 */
export const FLOORS: ReadonlyArray<{ floor: string; groups: readonly string[] }> = [
  { floor: "device", groups: ["loopback nic veth tap af_packet xdp pcap channel stream"] },
  { floor: "link", groups: ["ethernet", "qdisc steering vlan bridge"] },
  {
    floor: "network",
    groups: ["inet netfilter devinet neigh", "fib", "arp", "ipv4", "icmp conntrack", "nat nft filter"],
  },
  { floor: "transport", groups: ["sock", "udp tcp raw ping packet", "vxlan"] },
  { floor: "socket", groups: ["syscall", "deno node", "dns", "dhcp", "http socks"] },
];

/** Beside the path: they may import any plugin's mod.ts, and nothing on the path imports them. */
export const COMPOSITION: readonly string[] = ["plugins/observe/", "plugins/lab/", "mod.ts", "cli.ts", "tests/"];

/** Where `Deno.*`, FFI and promises may appear. Examples and tests are free. */
export const HOST_CODE: readonly string[] = [
  "plugins/device/",
  "plugins/socket/deno/",
  "plugins/socket/node/",
  "plugins/socket/http/",
  "plugins/socket/socks/",
  // Asking for a name or a lease takes time: only these two files say so with promises, the rest with callbacks.
  "plugins/socket/dns/face.ts",
  "plugins/socket/dhcp/face.ts",
  "plugins/observe/",
  "plugins/lab/",
  "cli.ts",
];

/** Where a throw would cross a packet: these files of core, and every input.ts and output.ts. */
export const NO_THROW: readonly string[] = ["receive", "transmit", "napi", "softirq", "ring", "irq", "copy", "checksum"]
  .map((n) => `core/${n}.ts`);

/** The rules that look at the text and can have exceptions. */
export type TextRule = "host" | "async" | "bytes" | "throw";

/** One exception: a file or (with `/` at the end) a folder, maybe only lines that contain `text`, and why. */
export interface Exception {
  rule: TextRule;
  path: string;
  text?: string;
  reason: string;
}

/** The exceptions. One that excuses nothing in a file that is there is itself a violation. */
export const ALLOWED: readonly Exception[] = [
  {
    rule: "bytes",
    path: "core/checksum.ts",
    text: "bytes.copyWithin(dst, src, src + len)",
    reason: "what the WebAssembly module does, where there is none; only core/copy.ts calls it",
  },
  {
    rule: "throw",
    path: "core/ring.ts",
    text: "throw new RangeError(",
    reason: "the constructor refuses a size that is no power of two: configuration, before any packet",
  },
  {
    rule: "bytes",
    path: "plugins/socket/http/message.ts",
    reason: "an application's bytes: recvmsg() has copied them already, and sendmsg() has not yet",
  },
];

/** Files that a program wrote; their size does not count. */
export function isGenerated(file: Source): boolean {
  return file.text.startsWith("// Generated ");
}

// ---------------------------------------------------------------------------------------------------------------------
// Reading sources

/**
 * The text with every comment, string and regular expression blanked by spaces, so that positions stay and words in
 * them are not taken for code. Code inside `${}` of a template is kept.
 */
export function mask(text: string): string {
  const out = text.split("");
  const blank = (from: number, to: number): void => {
    for (let i = from; i < to; i++) if (out[i] !== "\n") out[i] = " ";
  };
  // Brace depth at which each open template expression began.
  const templates: number[] = [];
  let depth = 0;
  let last = ""; // the last code character, to tell a regular expression from a division
  let i = 0;
  const template = (): void => {
    const from = i;
    while (i < text.length && text[i] !== "`" && !(text[i] === "$" && text[i + 1] === "{")) {
      i += text[i] === "\\" ? 2 : 1;
    }
    blank(from, Math.min(i, text.length));
    if (text[i] === "$") {
      templates.push(depth);
      i += 2;
    } else i++;
    last = "`";
  };
  while (i < text.length) {
    const c = text[i]!;
    const two = text.slice(i, i + 2);
    if (two === "//" || two === "/*") {
      const end = two === "//" ? text.indexOf("\n", i) : text.indexOf("*/", i + 2) + 2;
      const to = end <= 1 && end < i ? text.length : end;
      blank(i, to);
      i = to;
    } else if (c === '"' || c === "'") {
      const from = ++i;
      while (i < text.length && text[i] !== c && text[i] !== "\n") i += text[i] === "\\" ? 2 : 1;
      blank(from, i++);
      last = c;
    } else if (c === "`") {
      i++;
      template();
    } else if (c === "}" && templates.at(-1) === depth) {
      templates.pop();
      i++;
      template();
    } else if (c === "/" && (/[(,=:[!&|?{};+\-*%<>~^]/.test(last) || last === "" || keywordBefore(text, i))) {
      const from = i++;
      for (let inClass = false; i < text.length && text[i] !== "\n" && (inClass || text[i] !== "/"); i++) {
        if (text[i] === "\\") i++;
        else if (text[i] === "[") inClass = true;
        else if (text[i] === "]") inClass = false;
      }
      blank(from, ++i);
      last = "/";
    } else {
      if (c === "{") depth++;
      else if (c === "}") depth--;
      if (!/\s/.test(c)) last = c;
      i++;
    }
  }
  return out.join("");
}

function keywordBefore(text: string, at: number): boolean {
  return /\b(return|typeof|case|in|of|do|else|void|throw|yield|await)\s*$/.test(text.slice(Math.max(0, at - 12), at));
}

function lineAt(text: string, at: number): number {
  let line = 1;
  for (let i = text.indexOf("\n"); i >= 0 && i < at; i = text.indexOf("\n", i + 1)) line++;
  return line;
}

/** Every hit of a global expression in the code of a file, with its line. */
function find(file: Source, pattern: RegExp): Array<{ line: number; match: RegExpExecArray }> {
  const code = mask(file.text);
  const hits: Array<{ line: number; match: RegExpExecArray }> = [];
  for (const match of code.matchAll(pattern)) hits.push({ line: lineAt(code, match.index), match });
  return hits;
}

/** One import: the specifier as written and, when relative, the path in the repository it names. */
export interface Import {
  specifier: string;
  target: string | null;
  line: number;
  typeOnly: boolean;
}

/** The imports of a file: static, `export ... from`, side effect and `import("...")`. */
export function importsOf(file: Source): Import[] {
  const code = mask(file.text);
  const found: Import[] = [];
  const pattern =
    /\b(?:(import|export)\b((?:(?!\b(?:import|export)\b)[^;"'`=(])*?)\bfrom\s*|(import)\s*\(?\s*)(["'`])/g;
  for (const m of code.matchAll(pattern)) {
    const start = m.index + m[0].length;
    const specifier = file.text.slice(start, file.text.indexOf(m[4]!, start));
    const target = specifier.startsWith(".") ? new URL(specifier, `file:///${file.path}`).pathname.slice(1) : null;
    found.push({
      specifier,
      target,
      line: lineAt(code, m.index),
      typeOnly: /^\s*type\b/.test(m[2] ?? ""),
    });
  }
  return found;
}

// ---------------------------------------------------------------------------------------------------------------------
// Imports

interface Place {
  floor: string;
  plugin: string;
  /** Its position: the floor times a hundred, plus the group on the floor. -1 for composition and the unknown. */
  rank: number;
  /** The path inside the plugin's folder. */
  inside: string;
}

function placeOf(path: string): Place | null {
  const m = /^plugins\/([^/]+)\/([^/]+)\/(.+)$/.exec(path);
  if (!m) return null;
  const [, floor, plugin, inside] = m as unknown as [string, string, string, string];
  const f = FLOORS.findIndex((x) => x.floor === floor);
  const g = f < 0 ? -1 : FLOORS[f]!.groups.findIndex((x) => x.split(" ").includes(plugin));
  return { floor, plugin, inside, rank: g < 0 ? -1 : f * 100 + g };
}

const isComposition = (path: string): boolean =>
  COMPOSITION.some((c) => c.endsWith("/") ? path.startsWith(c) : path === c);
const isHeader = (path: string): boolean => /^plugins\/[^/]+\/[^/]+\/header\.ts$/.test(path);
const isHostCode = (path: string): boolean => HOST_CODE.some((h) => h.endsWith("/") ? path.startsWith(h) : path === h);
const isOnPath = (path: string): boolean =>
  path.startsWith("core/") || (path.startsWith("plugins/") && !isComposition(path));

/** Why `from` may not import this, or null. */
function whyNot(from: string, imp: Import): string | null {
  const { specifier, target, typeOnly } = imp;
  if (from.startsWith("tests/")) return null;
  if (from.startsWith("examples/")) {
    return target === null ? null : "an example imports only the published name @netpath/stack/...";
  }
  if (from.startsWith("core/")) {
    if (target === null) return "core imports nothing";
    return target.startsWith("core/") ? null : "core imports nothing outside core";
  }
  if (target === null) {
    if (isComposition(from)) return null;
    if (specifier.startsWith("node:") && isHostCode(from)) return null;
    return "no library on the packet path";
  }
  if (target.startsWith("tests/") || target.startsWith("examples/")) return "nothing imports tests or examples";

  const to = placeOf(target);
  if (isComposition(from)) {
    const own = placeOf(from);
    if (own && to && own.floor === to.floor && own.plugin === to.plugin) return null;
    if (target.startsWith("core/")) return target === "core/mod.ts" ? null : "of core, only core/mod.ts";
    if (target === "mod.ts" || !to) return null;
    return /^(mod|contract|header)\.ts$/.test(to.inside)
      ? null
      : "composition imports a plugin's mod.ts, not its inside";
  }

  const own = placeOf(from);
  if (!own) return from.startsWith("plugins/") ? "a plugin is a folder: plugins/<floor>/<name>/" : null;
  const sameFolder = to !== null && to.floor === own.floor && to.plugin === own.plugin;
  if (target.startsWith("core/")) return target === "core/mod.ts" ? null : "of core, only core/mod.ts";
  if (isHeader(from)) {
    return isHeader(target) ? null : "a header.ts imports only core and other header.ts";
  }
  if (isHeader(target)) return null;
  if (isComposition(target) || !to) return "nothing on the path imports composition";
  if (sameFolder) {
    if (own.inside === "contract.ts" && !typeOnly && /^(mod|input|output)\.ts$/.test(to.inside)) {
      return "a contract.ts does not pull in its plugin's inside";
    }
    return null;
  }
  if (to.rank < 0) return null; // said once, at the plugin that is not in the table
  if (to.inside !== "contract.ts") return "of another plugin, only contract.ts (or header.ts)";
  if (to.rank < own.rank) return null;
  return to.floor === own.floor
    ? `${own.plugin} imports its sibling ${to.plugin}: not left of a bar`
    : `${own.floor}/${own.plugin} imports upward: ${to.floor}/${to.plugin}`;
}

/** Rules 1, 2, 3, 5 and 6: imports point down. */
export function importRule(files: readonly Source[]): Violation[] {
  const bad: Violation[] = [];
  for (const file of files) {
    for (const imp of importsOf(file)) {
      const why = whyNot(file.path, imp);
      if (why) bad.push({ path: file.path, line: imp.line, message: `${why} ("${imp.specifier}")` });
    }
  }
  return bad;
}

/** Every plugin has its place in {@linkcode FLOORS}. */
export function placesRule(files: readonly Source[]): Violation[] {
  const bad = new Map<string, Violation>();
  for (const { path } of files) {
    const place = placeOf(path);
    if (!place || isComposition(path) || place.rank >= 0) continue;
    const folder = `plugins/${place.floor}/${place.plugin}`;
    bad.set(folder, { path, line: 1, message: `${folder} has no place in FLOORS of tests/support/architecture.ts` });
  }
  return [...bad.values()];
}

// ---------------------------------------------------------------------------------------------------------------------
// Text

function excused(rule: TextRule, file: Source, line: number, used: Set<Exception>): boolean {
  const text = file.text.split("\n")[line - 1] ?? "";
  for (const e of ALLOWED) {
    if (e.rule !== rule || !(e.path.endsWith("/") ? file.path.startsWith(e.path) : file.path === e.path)) continue;
    if (e.text !== undefined && !text.includes(e.text)) continue;
    used.add(e);
    return true;
  }
  return false;
}

/** Exceptions that were needed, over all rules that ran. */
const needed = new Set<Exception>();

function textRule(
  rule: TextRule,
  files: readonly Source[],
  applies: (path: string) => boolean,
  pattern: RegExp,
  message: string,
  keep: (match: RegExpExecArray, file: Source) => boolean = () => true,
): Violation[] {
  const bad: Violation[] = [];
  for (const file of files) {
    if (!applies(file.path)) continue;
    for (const { line, match } of find(file, pattern)) {
      if (!keep(match, file) || excused(rule, file, line, needed)) continue;
      bad.push({ path: file.path, line, message: `${message}: ${match[0].trim()}` });
    }
  }
  return bad;
}

const isPublished = (path: string): boolean => /^(core|plugins)\//.test(path) || path === "mod.ts" || path === "cli.ts";

/** Rule 4: `Deno.*` and FFI only where the outside is met. */
export function hostRule(files: readonly Source[]): Violation[] {
  const applies = (path: string) => isPublished(path) && !isHostCode(path);
  return textRule("host", files, applies, /(?<![\w$.])(?:globalThis\s*\.\s*)?Deno\s*[.[]/g, "no Deno.* here");
}

/** Rule 4: no promises in core and the protocol plugins. */
export function asyncRule(files: readonly Source[]): Violation[] {
  const applies = (path: string) => isOnPath(path) && !isHostCode(path);
  const pattern = /(?<![\w$.])(?:async|await|Promise|PromiseLike)\b(?!\s*\??:)/g;
  return textRule("async", files, applies, pattern, "no promises in core and protocol plugins");
}

/** The registry refuses `declare module` and `declare global`. */
export function augmentationRule(files: readonly Source[]): Violation[] {
  return files.flatMap((file) =>
    find(file, /\bdeclare\s+(?:module|global)\b/g).map(({ line, match }) => ({
      path: file.path,
      line,
      message: `no ${match[0].replace(/\s+/g, " ")}`,
    }))
  );
}

const BYTES = "(?:Uint8Array|Uint8ClampedArray|Int8Array|ArrayBuffer|ArrayBufferLike)";
const WIDE = "(?:U?[Ii]nt(?:16|32)Array|Uint(?:16|32)Array|Float(?:32|64)Array|Big(?:Ui|I)nt64Array)";

/** The names that a file declares with one of these types (not as a list of them) or fills from its constructor. */
function namesOf(file: Source, types: string): Set<string> {
  const names = new Set<string>();
  const code = mask(file.text);
  const declared = `([\\w$]+)\\s*[?!]?\\s*:\\s*(?:readonly\\s+)?${types}\\b(?!\\s*(?:<[^<>]*>)?\\s*\\[)`;
  for (const m of code.matchAll(new RegExp(declared, "g"))) names.add(m[1]!);
  const made = `([\\w$]+)\\s*(?::[^=;\\n]*)?=\\s*new\\s+${types}\\b`;
  for (const m of code.matchAll(new RegExp(made, "g"))) names.add(m[1]!);
  return names;
}

/**
 * Bytes move only in core/copy.ts. Seen by name: `.copyWithin(` and `.subarray(` unless the receiver has wider
 * elements; `.set(` when its receiver is called as bytes are called anywhere in core and plugins, or is a new byte array;
 * `.slice(` when the receiver is bytes in the same file. Loops over bytes are not seen.
 */
export function bytesRule(files: readonly Source[]): Violation[] {
  const applies = (path: string) => isOnPath(path) && path !== "core/copy.ts";
  const own = new Map(files.filter((f) => isOnPath(f.path)).map((f) => [f, namesOf(f, BYTES)]));
  const anywhere = new Set([...own.values()].flatMap((names) => [...names]));
  const wide = new Map<Source, Set<string>>();
  const others = new Map<Source, Set<string>>();
  const has = (cache: Map<Source, Set<string>>, file: Source, types: string, name: string): boolean => {
    if (!cache.has(file)) cache.set(file, namesOf(file, types));
    return cache.get(file)!.has(name);
  };
  const pattern = /([\w$]+|[)\]])\s*[?!]?\s*\.\s*(set|copyWithin|slice|subarray)\s*\(/g;
  return textRule("bytes", files, applies, pattern, "bytes move only in core/copy.ts", (m, file) => {
    const [, receiver, method] = m as unknown as [string, string, string];
    if (isGenerated(file) || has(wide, file, WIDE, receiver)) return false;
    if (method === "copyWithin" || method === "subarray") return true;
    const mine = own.get(file)!.has(receiver);
    if (method === "slice" || mine) return mine;
    if (receiver === ")") {
      const before = mask(file.text).slice(0, m.index + 1);
      return /new\s+Uint8Array\b[^;]*$/.test(before.slice(before.lastIndexOf("\n") + 1));
    }
    return anywhere.has(receiver) && !has(others, file, "(?:Weak|Readonly)?Map", receiver);
  });
}

/** Nothing throws on the packet path. */
export function throwRule(files: readonly Source[]): Violation[] {
  const applies = (path: string) =>
    NO_THROW.includes(path) || (isOnPath(path) && /^plugins\/.*\/(input|output)\.ts$/.test(path));
  return textRule("throw", files, applies, /(?<![\w$.])throw\b(?!\s*\??:)/g, "no throw on the packet path");
}

/** Exceptions that excuse nothing although their file is there. Run it after the text rules on the same files. */
export function staleRule(files: readonly Source[]): Violation[] {
  return ALLOWED.filter((e) =>
    !needed.has(e) && files.some((f) => e.path.endsWith("/") ? f.path.startsWith(e.path) : f.path === e.path)
  ).map((e) => ({ path: e.path, line: 1, message: `the exception to rule "${e.rule}" is not needed: ${e.reason}` }));
}

// ---------------------------------------------------------------------------------------------------------------------
// Ownership

const SENTENCE =
  /(?:Takes ownership of|Borrows) `[\w$.#]+`\.|Takes ownership of `[\w$.#]+` unless (?:it|this) returns .+?\./;

// What `deno doc --json` says, as far as it is read here.
interface DocType {
  kind?: string;
  value?: unknown;
}
interface DocParam {
  name?: string;
  tsType?: DocType;
  left?: DocParam;
  arg?: DocParam;
}
interface DocMember {
  name: string;
  location: { line: number };
  jsDoc?: { doc?: string };
  accessibility?: string;
  params?: DocParam[];
  functionDef?: { params: DocParam[] };
  tsType?: DocType;
}
interface DocDeclaration {
  location: { filename: string; line: number };
  declarationKind: string;
  jsDoc?: { doc?: string };
  kind: string;
  def?: { params?: DocParam[]; methods?: DocMember[]; properties?: DocMember[]; tsType?: DocType };
}
/** The output of `deno doc --json`. */
export interface Doc {
  nodes: Record<string, { symbols: Array<{ name: string; declarations: DocDeclaration[] }> }>;
}

function isSkb(type: DocType | undefined): boolean {
  if (type?.kind === "typeRef") return (type.value as { typeName: string }).typeName === "SkBuff";
  if (type?.kind === "union") return (type.value as DocType[]).some(isSkb);
  if (type?.kind === "parenthesized") return isSkb(type.value as DocType);
  return false;
}

function takesSkb(params: DocParam[] | undefined): boolean {
  return (params ?? []).some((p) => isSkb(p.tsType ?? p.left?.tsType ?? p.arg?.tsType));
}

/** Parameters of a function type: a property or an alias that holds a function counts as one. */
function functionParams(type: DocType | undefined): DocParam[] | undefined {
  if (type?.kind === "parenthesized") return functionParams(type.value as DocType);
  if (type?.kind === "union") return (type.value as DocType[]).map(functionParams).find((p) => p !== undefined);
  return type?.kind === "fnOrConstructor" ? (type.value as { params: DocParam[] }).params : undefined;
}

/** Every exported function, method or function type with an `SkBuff` says who owns it afterwards. */
export function ownershipRule(doc: Doc, pathOf: (url: string) => string): Violation[] {
  const bad: Violation[] = [];
  for (const [url, { symbols }] of Object.entries(doc.nodes)) {
    for (const { name, declarations } of symbols) {
      // Overloads share a name: one of them says it.
      const said = new Set<string>();
      const open: Array<{ key: string; line: number }> = [];
      const see = (key: string, line: number, text: string | undefined, params: DocParam[] | undefined): void => {
        if (!takesSkb(params)) return;
        if (SENTENCE.test((text ?? "").replace(/\s+/g, " "))) said.add(key);
        else open.push({ key, line: line + 1 });
      };
      for (const d of declarations) {
        if (d.declarationKind === "private" || d.location.filename !== url) continue;
        if (d.kind === "function") see(name, d.location.line, d.jsDoc?.doc, d.def?.params);
        if (d.kind === "typeAlias" || d.kind === "variable") {
          see(name, d.location.line, d.jsDoc?.doc, functionParams(d.def?.tsType));
        }
        for (const m of [...(d.def?.methods ?? []), ...(d.def?.properties ?? [])]) {
          if (m.accessibility === "private") continue;
          const params = m.functionDef?.params ?? m.params ?? functionParams(m.tsType);
          see(`${name}.${m.name}`, m.location.line, m.jsDoc?.doc, params);
        }
      }
      for (const { key, line } of open) {
        if (said.has(key)) continue;
        const message = `${key}() takes an SkBuff and does not say "Takes ownership of \`skb\`." or "Borrows \`skb\`."`;
        bad.push({ path: pathOf(url), line, message });
      }
    }
  }
  return bad;
}

// ---------------------------------------------------------------------------------------------------------------------
// Size

const lines = (file: Source): number => file.text.replace(/\n$/, "").split("\n").length;

/** Rule 9: core has at most 26 files, none over 400 lines, median under 150; no file anywhere over 800. */
export function sizeRule(files: readonly Source[]): Violation[] {
  const bad: Violation[] = [];
  const say = (path: string, message: string): void => void bad.push({ path, line: 1, message });
  const all = files.filter((f) => f.path.startsWith("core/"));
  if (all.length > 26) say("core/", `${all.length} files, at most 26`);
  const core = all.filter((f) => !isGenerated(f));
  for (const f of core) if (lines(f) > 400) say(f.path, `${lines(f)} lines, at most 400 in core`);
  const sorted = core.map(lines).sort((a, b) => a - b);
  const median = sorted.length === 0 ? 0 : (sorted[(sorted.length - 1) >> 1]! + sorted[sorted.length >> 1]!) / 2;
  if (median >= 150) say("core/", `median of ${median} lines, under 150`);
  for (const f of files) {
    if (!f.path.startsWith("core/") && !isGenerated(f) && lines(f) > 800) say(f.path, `${lines(f)} lines, at most 800`);
  }
  return bad;
}

// ---------------------------------------------------------------------------------------------------------------------
// The tree

/** Every TypeScript file of the repository, from `root` (a directory URL with `/` at the end). */
export async function readTree(root: URL): Promise<Source[]> {
  const files: Source[] = [];
  const walk = async (dir: string): Promise<void> => {
    for await (const entry of Deno.readDir(new URL(dir, root))) {
      const path = dir + entry.name;
      if (entry.name.startsWith(".") || entry.name === "node_modules") continue;
      if (entry.isDirectory) await walk(`${path}/`);
      else if (entry.isFile && path.endsWith(".ts")) {
        files.push({ path, text: await Deno.readTextFile(new URL(path, root)) });
      }
    }
  };
  await walk("./");
  for (const f of files) f.path = f.path.replace(/^\.\//, "");
  return files.sort((a, b) => a.path < b.path ? -1 : 1);
}

/** Violations as text, a line each. */
export function report(violations: readonly Violation[]): string {
  return violations.map((v) => `${v.path}:${v.line} ${v.message}`).join("\n");
}
