/**
 * Reads a script's text from left to right.
 *
 * @module
 */
import { Unsupported } from "./config.ts";
import { type Expr, type Field, ScriptError } from "./script.ts";

const SPACE = /(?:\s+|\/\/[^\n]*|\/\*[\s\S]*?\*\/|#[^\n]*)+/y;
const NUMBER = /0[xX][0-9a-fA-F]+|\d+/y;
const NAME = /[A-Za-z_][A-Za-z0-9_]*/y;
const TEXT = /"((?:[^"\\\n]|\\.)*)"/y;

/** A cursor over a text. */
export class Scan {
  /** The file, for messages. */
  readonly file: string;
  /** The text. */
  readonly text: string;
  /** Where it reads. */
  pos = 0;

  /** At the start of `text`. */
  constructor(file: string, text: string) {
    this.file = file;
    this.text = text;
  }

  /** Line of a position, from 1. */
  lineOf(pos: number = this.pos): number {
    let line = 1;
    for (let i = this.text.indexOf("\n"); i >= 0 && i < pos; i = this.text.indexOf("\n", i + 1)) line++;
    return line;
  }

  /** Fails at the current line. */
  fail(message: string): never {
    const rest = this.text.slice(this.pos, this.pos + 30).split("\n")[0];
    // Where the text is at its end, the last line with anything on it is the one to look at.
    const pos = Math.min(this.pos, this.text.trimEnd().length);
    throw new ScriptError(this.file, this.lineOf(pos), `${message}, at "${rest}"`);
  }

  /** The script asks for what is not there. */
  lacks(what: string): never {
    throw new Unsupported(what, this.lineOf());
  }

  /** Skips space and comments. */
  space(): this {
    SPACE.lastIndex = this.pos;
    const m = SPACE.exec(this.text);
    if (m !== null) this.pos += m[0].length;
    return this;
  }

  /** Nothing is left but space. */
  get done(): boolean {
    return this.space().pos >= this.text.length;
  }

  /** Takes what a sticky expression matches here, or null. Space in front is skipped. */
  match(re: RegExp): RegExpExecArray | null {
    this.space();
    re.lastIndex = this.pos;
    const m = re.exec(this.text);
    if (m !== null) this.pos += m[0].length;
    return m;
  }

  /** Takes a literal; false: something else is here. */
  take(literal: string): boolean {
    this.space();
    if (!this.text.startsWith(literal, this.pos)) return false;
    this.pos += literal.length;
    return true;
  }

  /** Takes a literal that must be here. */
  need(literal: string): void {
    if (!this.take(literal)) this.fail(`"${literal}" expected`);
  }

  /** Whether a literal is here. */
  at(literal: string): boolean {
    return this.space().text.startsWith(literal, this.pos);
  }

  /** Takes the text up to `end`, which is taken too. */
  until(end: string): string {
    const to = this.text.indexOf(end, this.pos);
    if (to < 0) this.fail(`"${end}" is missing`);
    const out = this.text.slice(this.pos, to);
    this.pos = to + end.length;
    return out;
  }

  /** A name that must be here. */
  name(): string {
    const m = this.match(NAME);
    return m === null ? this.fail("a name expected") : m[0];
  }

  /** A whole number that must be here. */
  number(): number {
    const m = this.match(NUMBER);
    if (m !== null) return Number(m[0]);
    const name = this.match(/[A-Z][A-Z0-9_]+\b/y);
    return name !== null ? this.lacks(`the name ${name[0]}, which nothing defines`) : this.fail("a number expected");
  }

  /** An expression of system calls. */
  expr(): Expr {
    let left = this.primary();
    for (;;) {
      const op = this.match(/\||<<|&/y);
      if (op === null) return left;
      left = { kind: "binary", op: op[0], left, right: this.primary() };
    }
  }

  private primary(): Expr {
    if (this.take("...")) return { kind: "ellipsis" };
    if (this.take("[")) return { kind: "list", items: this.items("]", () => this.expr()) };
    if (this.take("{")) return { kind: "struct", fields: this.items("}", () => this.field()) };
    if (this.take("(")) {
      const inner = this.expr();
      this.need(")");
      return inner;
    }
    const negative = this.take("-");
    const number = this.match(NUMBER);
    if (number !== null) return { kind: "number", value: negative ? -Number(number[0]) : Number(number[0]) };
    const text = this.match(TEXT);
    if (text !== null) return { kind: "bytes", value: unescape(text[1]) };
    const name = this.match(NAME);
    if (name === null) this.fail("an expression expected");
    if (!this.take("(")) return { kind: "name", name: name[0] };
    return { kind: "call", name: name[0], args: this.items(")", () => this.expr()) };
  }

  /** `name=value`, `name(n)=value` or a value. */
  private field(): Field {
    const start = this.pos;
    const m = this.match(NAME);
    if (m !== null) {
      let of: Expr | null = null;
      if (this.take("(")) of = this.items(")", () => this.expr())[0] ?? null;
      if (this.at("=") && !this.at("==")) {
        this.need("=");
        return { name: m[0], of, value: this.expr() };
      }
    }
    this.pos = start;
    return { name: "", of: null, value: this.expr() };
  }

  private items<T>(end: string, one: () => T): T[] {
    const out: T[] = [];
    if (this.take(end)) return out;
    do {
      if (this.at(end)) break;
      out.push(one());
    } while (this.take(","));
    this.need(end);
    return out;
  }

  /** Arguments up to the closing parenthesis. */
  args(): Expr[] {
    return this.items(")", () => this.expr());
  }
}

const ESCAPES: Readonly<Record<string, string>> = { n: "\n", t: "\t", r: "\r", "0": "\0" };

function unescape(text: string): string {
  return text.replace(/\\(x[0-9a-fA-F]{2}|.)/g, (_, c: string) => {
    if (c[0] === "x" && c.length === 3) return String.fromCharCode(parseInt(c.slice(1), 16));
    return ESCAPES[c] ?? c;
  });
}
