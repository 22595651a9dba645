/**
 * Arguments of system calls as values.
 *
 * @module
 */
import { parseAddress, Unsupported } from "./config.ts";
import { ERRNOS, NAMES } from "./constants.ts";
import type { CallLine, Expr, Field } from "./script.ts";

/** What a call does other than its line says. */
export class Mismatch extends Error {
  /** With a sentence. */
  constructor(message: string) {
    super(message);
    this.name = "Mismatch";
  }
}

/** A number: of a literal, a name, an errno's name, or these combined. */
export function numberOf(e: Expr | undefined): number {
  if (e === undefined) throw new Unsupported("an argument is missing");
  switch (e.kind) {
    case "number":
      return e.value;
    case "name": {
      const value = NAMES[e.name] ?? ERRNOS[e.name];
      if (value === undefined) throw new Unsupported(`the name ${e.name}`);
      return value;
    }
    case "binary": {
      const left = numberOf(e.left);
      const right = numberOf(e.right);
      // EPOLLET is bit 31: sums of distinct bits stay positive.
      if (e.op === "|") return Number(BigInt(left) | BigInt(right));
      return e.op === "&" ? Number(BigInt(left) & BigInt(right)) : left * 2 ** right;
    }
    case "call":
      if (e.name === "htons" || e.name === "htonl") return numberOf(e.args[0]);
      if ((e.name === "inet_addr") && e.args[0]?.kind === "bytes") return parseAddress(e.args[0].value) ?? 0;
      throw new Unsupported(`${e.name}() in an argument`);
    default:
      throw new Unsupported(`a ${e.kind} where a number is expected`);
  }
}

/** A script's `[5]` or `5` or `[A | B]`. */
export function scalarOf(e: Expr | undefined): number {
  if (e?.kind === "list" && e.items.length === 1) return numberOf(e.items[0]);
  return numberOf(e);
}

/** The field of a struct, or undefined. */
export function fieldOf(e: Expr | undefined, name: string): Field | undefined {
  return e?.kind === "struct" ? e.fields.find((f) => f.name === name) : undefined;
}

/** A field's number; `normal` where it is not written or `...`. */
export function fieldNumber(e: Expr | undefined, name: string, normal: number): number {
  const f = fieldOf(e, name);
  return f === undefined || f.value.kind === "ellipsis" ? normal : scalarOf(f.value);
}

/** An address argument: `...` gives what the script's options say. Null: AF_UNSPEC. */
export function addressOf(e: Expr | undefined, ip: number, port: number): { ip: number; port: number } | null {
  if (e === undefined || e.kind === "ellipsis") return { ip, port };
  if (e.kind === "name" && e.name === "AF_UNSPEC") return null;
  if (e.kind !== "struct") throw new Unsupported(`an address written as a ${e.kind}`);
  const family = fieldNumber(e, "sa_family", fieldNumber(e, "sin_family", 2));
  if (family === 0) return null;
  if (family !== 2) throw new Unsupported(`an address of family ${family}`);
  return { ip: fieldNumber(e, "sin_addr", ip) >>> 0, port: fieldNumber(e, "sin_port", port) };
}

/** What a value is written as, for messages. */
export function exprText(e: Expr): string {
  switch (e.kind) {
    case "number":
      return String(e.value);
    case "name":
      return e.name;
    case "bytes":
      return JSON.stringify(e.value);
    case "ellipsis":
      return "...";
    case "list":
      return `[${e.items.map(exprText).join(", ")}]`;
    case "struct":
      return `{${
        e.fields.map((f) => f.name === "" ? exprText(f.value) : `${f.name}=${exprText(f.value)}`).join(", ")
      }}`;
    case "binary":
      return `${exprText(e.left)}${e.op}${exprText(e.right)}`;
    case "call":
      return `${e.name}(${e.args.map(exprText).join(", ")})`;
  }
}

/** Needs `n` arguments at least. */
export function needArgs(call: CallLine, n: number): void {
  if (call.args.length < n) throw new Unsupported(`${call.name}() with ${call.args.length} arguments, not ${n}`);
}

/** A buffer argument: null for NULL. */
export function isNull(e: Expr | undefined): boolean {
  return e !== undefined && (e.kind === "name" ? e.name === "NULL" : e.kind === "number" && e.value === 0);
}
