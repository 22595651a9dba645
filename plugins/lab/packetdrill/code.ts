/**
 * The language of `%{ ... }%`: the part of Python that asserts are written in. Statements are `assert`, assignments
 * (`=`, `+=`, ...), `print(...)` and bare expressions, one a line or separated by `;`. Expressions have arithmetic, bit
 * operators, chained comparisons, `and or not`, `in`, conditional expressions, strings with `%`, and `abs min max int len`.
 *
 * @module
 */

/** A value. */
export type Value = number | string | boolean | null | readonly Value[];

/** What a program found wrong. */
export class CodeError extends Error {
  /** True: an assert does not hold; false: the program is not understood or names what is not there. */
  readonly isAssert: boolean;

  /** With a sentence. */
  constructor(message: string, isAssert: boolean) {
    super(message);
    this.name = "CodeError";
    this.isAssert = isAssert;
  }
}

const TOKEN =
  /\s*(?:(\d+\.\d*|\.\d+|0[xX][0-9a-fA-F]+|\d+)|([A-Za-z_]\w*)|("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|(\*\*|\/\/|<<|>>|<=|>=|==|!=|[-+*/%&|^~<>()[\],.:]))/y;

interface Token {
  readonly kind: "number" | "name" | "string" | "op" | "end";
  readonly text: string;
}

/** Runs a program over `names`, to which assignments add. Throws a {@linkcode CodeError}. */
export function runCode(text: string, names: Map<string, Value>, print: (line: string) => void = () => {}): void {
  for (const statement of statements(text)) runStatement(statement, names, print);
}

/** The value of one expression. Throws a {@linkcode CodeError}. */
export function evalCode(text: string, names: Map<string, Value> = new Map()): Value {
  const p = new Parser(text, names);
  const value = p.whole();
  p.end();
  return value;
}

/** Lines without comments and continuations, split at `;`. */
function statements(text: string): string[] {
  const joined = text.replace(/\\\s*\n/g, " ").split("\n").map(withoutComment).join("\n");
  // Inside brackets a line goes on.
  const out: string[] = [];
  let current = "";
  let depth = 0;
  let quote = "";
  for (const c of joined) {
    if (quote !== "") {
      if (c === quote) quote = "";
    } else if (c === '"' || c === "'") quote = c;
    else if ("([{".includes(c)) depth++;
    else if (")]}".includes(c)) depth--;
    if (quote === "" && depth <= 0 && (c === "\n" || c === ";")) {
      out.push(current);
      current = "";
    } else current += c === "\n" ? " " : c;
  }
  out.push(current);
  // A continuation before the end of the program leaves a lone backslash.
  return out.map((s) => s.replace(/\\\s*$/, "").trim()).filter((s) => s !== "");
}

function withoutComment(line: string): string {
  let quote = "";
  for (let i = 0; i < line.length; i++) {
    const c = line[i];
    if (quote !== "") {
      if (c === quote) quote = "";
    } else if (c === '"' || c === "'") quote = c;
    else if (c === "#") return line.slice(0, i);
  }
  return line;
}

function runStatement(text: string, names: Map<string, Value>, print: (line: string) => void): void {
  const assertion = /^assert\b([\s\S]*)$/.exec(text);
  if (assertion !== null) {
    const p = new Parser(assertion[1], names);
    const ok = truth(p.whole());
    const message = p.at(",") ? (p.take(), show(p.whole())) : "";
    p.end();
    if (!ok) throw new CodeError(`assert ${assertion[1].trim()}${message === "" ? "" : ` (${message})`}`, true);
    return;
  }
  const assign = /^([A-Za-z_]\w*)\s*(\+|-|\*|\/\/|\/|%|&|\||\^|<<|>>)?=(?!=)([\s\S]*)$/.exec(text);
  if (assign !== null) {
    const p = new Parser(assign[3], names);
    const value = p.whole();
    p.end();
    const [, name, op] = assign;
    names.set(name, op === undefined ? value : binary(op, p.lookup(name), value));
    return;
  }
  if (/^(pass)$/.test(text)) return;
  if (/^(import|from|def|for|while|if|class|try|with|del|return|lambda)\b/.test(text)) {
    throw new CodeError(`"${text.split(/\s/)[0]}" is not in the language of asserts: ${text}`, false);
  }
  const p = new Parser(text, names, print);
  p.whole();
  p.end();
}

function tokens(text: string): Token[] {
  const out: Token[] = [];
  for (let pos = 0; pos < text.length;) {
    if (/^\s*$/.test(text.slice(pos))) break;
    TOKEN.lastIndex = pos;
    const m = TOKEN.exec(text);
    if (m === null) throw new CodeError(`not understood: ${text.slice(pos)}`, false);
    pos += m[0].length;
    if (m[1] !== undefined) out.push({ kind: "number", text: m[1] });
    else if (m[2] !== undefined) out.push({ kind: "name", text: m[2] });
    else if (m[3] !== undefined) out.push({ kind: "string", text: m[3] });
    else out.push({ kind: "op", text: m[4] });
  }
  out.push({ kind: "end", text: "" });
  return out;
}

/** Operators from weak to strong. */
const LEVELS: readonly (readonly string[])[] = [["|"], ["^"], ["&"], ["<<", ">>"], ["+", "-"], ["*", "/", "//", "%"]];
const COMPARE = ["==", "!=", "<", "<=", ">", ">=", "in", "not", "is"];

class Parser {
  readonly #tokens: Token[];
  readonly #names: Map<string, Value>;
  readonly #print: (line: string) => void;
  #i = 0;
  /** Depth of what is read but does not count: the untaken side of and, or, if. */
  #dead = 0;

  constructor(text: string, names: Map<string, Value>, print: (line: string) => void = () => {}) {
    this.#tokens = tokens(text);
    this.#names = names;
    this.#print = print;
  }

  at(text: string): boolean {
    const t = this.#tokens[this.#i];
    return t.text === text && t.kind !== "string";
  }

  take(): Token {
    return this.#tokens[this.#i++];
  }

  end(): void {
    if (this.#tokens[this.#i].kind !== "end") {
      throw new CodeError(`not understood: ${this.#tokens.slice(this.#i, -1).map((t) => t.text).join(" ")}`, false);
    }
  }

  lookup(name: string): Value {
    const value = this.#names.get(name);
    if (value === undefined && this.#dead === 0) throw new CodeError(`name '${name}' is not defined`, false);
    return value ?? 0;
  }

  whole(): Value {
    const value = this.#or();
    if (!this.at("if")) return value;
    this.take();
    const condition = truth(this.#or());
    if (!this.at("else")) throw new CodeError("else expected", false);
    this.take();
    const other = this.#unless(condition, () => this.whole());
    return condition ? value : other;
  }

  /** Reads a side that counts only when `skip` is false. */
  #unless(skip: boolean, read: () => Value): Value {
    if (skip) this.#dead++;
    const value = read();
    if (skip) this.#dead--;
    return value;
  }

  #or(): Value {
    let left = this.#and();
    while (this.at("or")) {
      this.take();
      const done = truth(left);
      const right = this.#unless(done, () => this.#and());
      if (!done) left = right;
    }
    return left;
  }

  #and(): Value {
    let left = this.#not();
    while (this.at("and")) {
      this.take();
      const go = truth(left);
      const right = this.#unless(!go, () => this.#not());
      if (go) left = right;
    }
    return left;
  }

  #not(): Value {
    if (!this.at("not")) return this.#compare();
    this.take();
    return !truth(this.#not());
  }

  /** `a < b <= c` holds when both do. */
  #compare(): Value {
    let left = this.#level(0);
    let result: boolean | null = null;
    while (COMPARE.some((op) => this.at(op))) {
      let op = this.take().text;
      if ((op === "not" && this.at("in")) || (op === "is" && this.at("not"))) op += ` ${this.take().text}`;
      const right = this.#level(0);
      result = (result ?? true) && compare(op, left, right);
      left = right;
    }
    return result ?? left;
  }

  #level(n: number): Value {
    if (n === LEVELS.length) return this.#unary();
    let left = this.#level(n + 1);
    while (LEVELS[n].some((op) => this.at(op))) {
      const op = this.take().text;
      const right = this.#level(n + 1);
      left = this.#dead > 0 ? 0 : binary(op, left, right);
    }
    return left;
  }

  #unary(): Value {
    if (this.at("-")) return (this.take(), -number(this.#unary()));
    if (this.at("+")) return (this.take(), number(this.#unary()));
    if (this.at("~")) return (this.take(), -number(this.#unary()) - 1);
    const base = this.#atom();
    if (!this.at("**")) return base;
    this.take();
    return number(base) ** number(this.#unary());
  }

  #atom(): Value {
    const t = this.take();
    if (t.kind === "number") return Number(t.text);
    if (t.kind === "string") return t.text.slice(1, -1).replace(/\\(.)/g, (_, c) => c === "n" ? "\n" : c);
    if (t.text === "(") {
      const items = this.#list(")");
      return items.length === 1 && !items.trailing ? items[0] : [...items];
    }
    if (t.text === "[") return [...this.#list("]")];
    if (t.kind !== "name") throw new CodeError(`not understood: ${t.text === "" ? "the end" : t.text}`, false);
    if (t.text === "True" || t.text === "False") return t.text === "True";
    if (t.text === "None") return null;
    if (!this.at("(")) return this.lookup(t.text);
    this.take();
    return this.#call(t.text, this.#list(")"));
  }

  #list(end: string): Value[] & { trailing?: boolean } {
    const items: Value[] & { trailing?: boolean } = [];
    while (!this.at(end)) {
      items.push(this.whole());
      items.trailing = false;
      if (!this.at(",")) break;
      this.take();
      items.trailing = true;
    }
    if (!this.at(end)) throw new CodeError(`"${end}" expected`, false);
    this.take();
    return items;
  }

  #call(name: string, args: readonly Value[]): Value {
    switch (name) {
      case "print":
        this.#print(args.map(show).join(" "));
        return null;
      case "abs":
        return Math.abs(number(args[0]));
      case "min":
        return Math.min(...args.map(number));
      case "max":
        return Math.max(...args.map(number));
      case "int":
        return Math.trunc(number(args[0]));
      case "float":
        return number(args[0]);
      case "str":
        return show(args[0]);
      case "len":
        return (args[0] as string | readonly Value[]).length;
      default:
        throw new CodeError(`the function ${name}() is not in the language of asserts`, false);
    }
  }
}

function truth(v: Value): boolean {
  return Array.isArray(v) ? v.length > 0 : v !== 0 && v !== "" && v !== false && v !== null;
}

function number(v: Value): number {
  if (typeof v === "number") return v;
  if (typeof v === "boolean") return v ? 1 : 0;
  throw new CodeError(`${show(v)} is no number`, false);
}

function show(v: Value): string {
  if (typeof v === "boolean") return v ? "True" : "False";
  if (v === null) return "None";
  return Array.isArray(v) ? `(${v.map(show).join(", ")})` : String(v);
}

function same(a: Value, b: Value): boolean {
  if (Array.isArray(a) && Array.isArray(b)) return a.length === b.length && a.every((x, i) => same(x, b[i]));
  if (typeof a === "boolean" || typeof b === "boolean") {
    return typeof a !== "string" && typeof b !== "string" && a !== null && b !== null && Number(a) === Number(b);
  }
  return a === b;
}

function compare(op: string, a: Value, b: Value): boolean {
  switch (op) {
    case "==":
    case "is":
      return same(a, b);
    case "!=":
    case "is not":
      return !same(a, b);
    case "in":
    case "not in": {
      const list = typeof b === "string" ? [...b] : b;
      if (!Array.isArray(list)) throw new CodeError(`${show(b)} holds nothing`, false);
      return (typeof b === "string" ? b.includes(show(a)) : list.some((x) => same(x, a))) === (op === "in");
    }
    case "<":
      return number(a) < number(b);
    case "<=":
      return number(a) <= number(b);
    case ">":
      return number(a) > number(b);
    case ">=":
      return number(a) >= number(b);
    default:
      throw new CodeError(`the comparison "${op}" is not known`, false);
  }
}

function binary(op: string, a: Value, b: Value): Value {
  if (typeof a === "string") {
    if (op === "%") return format(a, Array.isArray(b) ? b : [b]);
    if (op === "+" && typeof b === "string") return a + b;
  }
  const x = number(a);
  const y = number(b);
  switch (op) {
    case "+":
      return x + y;
    case "-":
      return x - y;
    case "*":
      return x * y;
    case "/":
      return x / y;
    case "//":
      return Math.floor(x / y);
    case "%":
      return x - y * Math.floor(x / y);
    // Python's integers do not wrap at 32 bits.
    case "&":
      return Number(BigInt(x) & BigInt(y));
    case "|":
      return Number(BigInt(x) | BigInt(y));
    case "^":
      return Number(BigInt(x) ^ BigInt(y));
    case "<<":
      return x * 2 ** y;
    default:
      return Math.floor(x / 2 ** y);
  }
}

function format(text: string, args: readonly Value[]): string {
  let i = 0;
  return text.replace(/%[-+0-9.]*([dsxfiu%])/g, (all, kind: string) => {
    if (kind === "%") return "%";
    const v = args[i++];
    if (v === undefined) return all;
    return kind === "x" ? number(v).toString(16) : show(v);
  });
}
