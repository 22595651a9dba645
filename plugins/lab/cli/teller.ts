/**
 * Prints the parts of a demo: sections, journeys, ladders, tables; text for people, or JSON lines.
 */
import type { Journey } from "../../observe/journey/mod.ts";
import type { CliOutput } from "./command.ts";

/** How it is told. */
export interface TellerOptions {
  /** JSON lines instead of text. */
  readonly json: boolean;
  /** Columns. */
  readonly width: number;
  /** Where textbook and kernel differ is said once each. */
  readonly remarks: boolean;
  /** ANSI colours. */
  readonly color: boolean;
}

const CONTEXT_COLORS: Readonly<Record<string, number>> = { process: 32, hardirq: 31, softirq: 33, ksoftirqd: 35 };

/** See the top of the file. */
export class Teller {
  readonly #io: CliOutput;
  readonly #options: TellerOptions;
  readonly #trace: Journey;

  /** Tells what `trace` recorded. */
  constructor(io: CliOutput, options: TellerOptions, trace: Journey) {
    this.#io = io;
    this.#options = options;
    this.#trace = trace;
  }

  #sgr(code: number, text: string): string {
    return this.#options.color ? `\x1b[${code}m${text}\x1b[0m` : text;
  }

  /** A word that matters. */
  bold(text: string): string {
    return this.#sgr(1, text);
  }

  /** An execution context in its colour. */
  context(name: string): string {
    return this.#sgr(CONTEXT_COLORS[name] ?? 0, name);
  }

  /** Plain text, for people only. */
  text(text: string): void {
    if (!this.#options.json) this.#io.log(text);
  }

  /** A heading. */
  section(number: string, title: string): void {
    this.text(`${this.#sgr(7, ` ${number}. ${title} `)}\n`);
  }

  /** The journey since the last `clear()` of the recording; `ids`: of these packets only. */
  journey(ids?: readonly number[]): void {
    const { color, width, remarks, json } = this.#options;
    if (json) this.#io.log(this.#trace.jsonLines().trimEnd());
    else this.#io.log(this.#trace.render({ color, width, remarks, ...(ids === undefined ? {} : { ids }) }));
  }

  /** The TCP connections since the last `clear()` as ladders. */
  ladder(): void {
    const { color, width } = this.#options;
    this.text(this.#trace.ladder({ color, width: Math.min(width, 132) }));
  }

  /** A word and what is said about it, in as many lines as it takes. */
  entry(word: string, text: string): void {
    const lines = text.match(new RegExp(`.{1,${this.#options.width - 12}}(?: |$)`, "gm")) ?? [];
    const indented = lines.map((l, i) => `${i === 0 ? `  ${word.padEnd(10)}` : " ".repeat(12)}${l}`.trimEnd());
    this.text(indented.join("\n").replace(word, this.#sgr(2, word)) + (text.endsWith("\n") ? "\n" : ""));
  }

  /** Columns; those of numbers are set to the right. */
  table(head: readonly string[], rows: readonly (readonly (string | number)[])[]): void {
    tableLines(head, rows).forEach((line, n) => this.text(n === 0 ? this.#sgr(2, line) : line));
    this.text("");
  }
}

/** A table as lines, the head first; columns of numbers are set to the right. */
export function tableLines(head: readonly string[], rows: readonly (readonly (string | number)[])[]): string[] {
  const text = [head, ...rows].map((row) => row.map(String));
  const widths = head.map((_, i) => Math.max(...text.map((row) => row[i].length)));
  const numeric = head.map((_, i) => rows.length > 0 && rows.every((row) => typeof row[i] === "number"));
  return text.map((row) => {
    const cells = row.map((c, i) => numeric[i] ? c.padStart(widths[i]) : c.padEnd(widths[i]));
    return `  ${cells.join("  ")}`.trimEnd();
  });
}
