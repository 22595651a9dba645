/**
 * From the text of a lab file to what it says: YAML, form, and what its parts say of each other. All problems at once.
 */
import { parse } from "@std/yaml";
import { lineOf, type Path } from "./locate.ts";
import { didYouMean, LabFileError, type LabProblem, pathText } from "./problem.ts";
import { crossCheck } from "./check.ts";
import { jsonSchema, labSchema, type ParsedLab } from "./schema.ts";

/** Collects problems of one file. */
export class Problems {
  /** All so far. */
  readonly list: LabProblem[] = [];
  readonly #file: string;
  readonly #source: string;

  /** Of the file that is shown as `file`. */
  constructor(file: string, source: string) {
    this.#file = file;
    this.#source = source;
  }

  /** Adds one. */
  add(path: Path, message: string): void {
    const text = pathText(path);
    if (this.list.some((p) => p.path === text && p.message === message)) return;
    this.list.push({ file: this.#file, line: lineOf(this.#source, path), path: text, message });
  }

  /** Adds one whose line is known. */
  at(line: number, message: string): void {
    this.list.push({ file: this.#file, line, path: "", message });
  }

  /** Throws a {@linkcode LabFileError} when there is any, in order of lines. */
  throwIfAny(): void {
    if (this.list.length > 0) throw new LabFileError(this.list.toSorted((a, b) => a.line - b.line));
  }
}

/** Reads a lab from YAML text; `file` is how problems name it. Throws {@linkcode LabFileError} with all of them. */
export function parseLab(source: string, file: string): ParsedLab {
  const problems = new Problems(file, source);
  let value: unknown;
  try {
    value = parse(source);
  } catch (error) {
    const text = (error as Error).message;
    const line = Number(/line (\d+)/.exec(text)?.[1] ?? 1);
    problems.at(line, `not YAML: ${text.split(/ at line | \(/)[0].replace(/:\s*$/, "")}`);
    problems.throwIfAny();
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    problems.at(1, "expected a mapping with hosts, links and so on");
    problems.throwIfAny();
  }
  const result = labSchema.safeParse(value);
  if (!result.success) {
    for (const issue of result.error.issues) translate(problems, issue as Issue, [], value);
    problems.throwIfAny();
  }
  const lab = result.data as ParsedLab;
  crossCheck(lab, problems);
  problems.throwIfAny();
  return lab;
}

/** What is used of a zod issue. */
interface Issue {
  readonly code: string;
  readonly path: readonly (string | number)[];
  readonly message: string;
  readonly expected?: string;
  readonly keys?: readonly string[];
  readonly values?: readonly unknown[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly origin?: string;
  readonly errors?: readonly (readonly Issue[])[];
  readonly issues?: readonly Issue[];
}

function translate(problems: Problems, issue: Issue, base: Path, root: unknown): void {
  const path = [...base, ...issue.path];
  switch (issue.code) {
    case "unrecognized_keys": {
      const known = keysAt(path);
      for (const key of issue.keys ?? []) problems.add([...path, key], `unknown key${suggest(key, known)}`);
      return;
    }
    case "invalid_union": {
      const best = bestBranch(issue.errors ?? [], valueAt(root, path));
      if (best === null) return problems.add(path, `${issue.message}, not ${show(valueAt(root, path))}`);
      for (const inner of best) translate(problems, inner, path, root);
      return;
    }
    case "invalid_key": {
      for (const inner of issue.issues ?? []) problems.add(path, inner.message);
      return;
    }
    default:
      problems.add(path, said(issue, valueAt(root, path)));
  }
}

function suggest(key: string, known: readonly string[]): string {
  const hint = didYouMean(key, known);
  return hint !== "" ? hint : known.length === 0 ? "" : `; known are ${known.join(", ")}`;
}

/** The branch that the writer had in mind: of his value's kind, with the fewest complaints; null: none is. */
function bestBranch(branches: readonly (readonly Issue[])[], value: unknown): readonly Issue[] | null {
  const fits = branches.filter((b) => !b.some((i) => i.code === "invalid_type" && i.path.length === 0));
  const of = typeof value === "object" && value !== null ? fits : fits.filter((b) => b.every((i) => i.path.length > 0));
  if (of.length === 0) return null;
  // A branch that does not know a key of the value is another kind of thing.
  const unknown = (b: readonly Issue[]): number =>
    b.filter((i) => i.code === "unrecognized_keys" && i.path.length === 0).length;
  const best = of.toSorted((a, b) => unknown(a) - unknown(b) || a.length - b.length)[0];
  const alien = unknown(best) > 0 && of.length > 1;
  return alien ? best.filter((i) => i.code === "unrecognized_keys") : best;
}

function said(issue: Issue, value: unknown): string {
  if (!/^(Invalid|Too|Unrecognized)/.test(issue.message)) return `${issue.message}, not ${show(value)}`;
  if (issue.code === "invalid_type" && value === undefined) return `missing: expected ${kind(issue.expected)}`;
  if (issue.code === "invalid_type") return `expected ${kind(issue.expected)}, not ${show(value)}`;
  if (issue.code === "invalid_value") {
    const words = (issue.values ?? []).map(String);
    return `expected ${words.join(" or ")}, not ${show(value)}${didYouMean(String(value), words)}`;
  }
  if (issue.code === "too_small") return `expected at least ${issue.minimum}${unit(issue)}, not ${show(value)}`;
  if (issue.code === "too_big") return `expected at most ${issue.maximum}${unit(issue)}, not ${show(value)}`;
  return issue.message;
}

function unit(issue: Issue): string {
  return issue.origin === "array" ? " items" : "";
}

const KINDS: Readonly<Record<string, string>> = {
  object: "a mapping",
  record: "a mapping",
  array: "a list",
  int: "a whole number",
  number: "a number",
  string: "text",
  boolean: "true or false",
};

function kind(expected: string | undefined): string {
  return KINDS[expected ?? ""] ?? expected ?? "something else";
}

function show(value: unknown): string {
  if (Array.isArray(value)) return `a list of ${value.length}`;
  if (typeof value === "object" && value !== null) return "a mapping";
  return value === undefined ? "nothing" : JSON.stringify(value);
}

function valueAt(root: unknown, path: Path): unknown {
  let value = root;
  for (const step of path) value = (value as Record<string | number, unknown> | undefined)?.[step];
  return value;
}

interface Schema {
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: Schema | boolean;
  readonly items?: Schema;
  readonly anyOf?: readonly Schema[];
}

/** The keys that a mapping at `path` may have, by the schema. */
function keysAt(path: Path): string[] {
  let at: readonly Schema[] = [jsonSchema() as Schema];
  for (const step of path) {
    at = at.flatMap(branches).flatMap((s) => {
      if (typeof step === "number") return s.items === undefined ? [] : [s.items];
      const own = s.properties?.[step];
      if (own !== undefined) return [own];
      return typeof s.additionalProperties === "object" ? [s.additionalProperties] : [];
    });
  }
  return [...new Set(at.flatMap(branches).flatMap((s) => Object.keys(s.properties ?? {})))];
}

function branches(s: Schema): readonly Schema[] {
  return s.anyOf === undefined ? [s] : s.anyOf.flatMap(branches);
}
