/**
 * What the commands of the command line share: output, errors, flags, suggestions.
 */

import { nearest } from "../../../core/mod.ts";

/** Where output goes, and how it looks. */
export interface CliOutput {
  /** Prints a line, or several. */
  log(text: string): void;
  /** Prints an error. */
  error(text: string): void;
  /** ANSI colours. */
  readonly color: boolean;
  /** Columns. */
  readonly width: number;
  /** Shows how far long work is: text without line ends, on a terminal's stderr. Left out: nowhere. */
  progress?(text: string): void;
}

/** Version of the package. */
export const VERSION = "0.1.0";

/** One command of the command line. */
export interface Command {
  /** `demo`. */
  readonly name: string;
  /** A few words for the list of commands. */
  readonly about: string;
  /** What `--help` prints: usage, options, examples. */
  readonly help: string;
  /** Runs it; the exit code. A {@linkcode UsageError} is exit code 2. */
  run(args: string[], io: CliOutput): number | Promise<number>;
}

/** A command line that makes no sense: printed without a stack, exit code 2. */
export class UsageError extends Error {}

/** A whole number of a flag, or its default; anything else is a {@linkcode UsageError}. */
export function whole(name: string, text: string | undefined, fallback: number, min: number, max: number): number {
  if (text === undefined) return fallback;
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < min || value > max) {
    throw new UsageError(`Cannot use ${name} "${text}": a whole number from ${min} to ${max}`);
  }
  return value;
}

/** One of some words; anything else is a {@linkcode UsageError}. "" stands for none where it is among them. */
export function oneOf(name: string, text: string, words: readonly string[]): string {
  if (words.includes(text)) return text;
  const [near] = nearest(text, words.filter((w) => w !== ""));
  const hint = near === undefined ? `one of ${words.filter((w) => w !== "").join(", ")}` : `did you mean ${near}?`;
  throw new UsageError(`Cannot use ${name} "${text}": ${hint}`);
}

/** For parseArgs: an option that is not among `known` is a {@linkcode UsageError} with a suggestion. */
export function unknownOption(known: readonly string[]): (arg: string) => never {
  return (arg) => {
    const word = arg.replace(/^-+/, "").split("=")[0];
    const near = arg.startsWith("-") ? nearest(word, known)[0] : undefined;
    throw new UsageError(`Cannot use "${arg}": ${near === undefined ? "unknown option" : `did you mean --${near}?`}`);
  };
}

/** The same for commands that take other words, too. */
export function unknownFlag(known: readonly string[]): (arg: string) => unknown {
  const refuse = unknownOption(known);
  return (arg) => /^-./.test(arg) ? refuse(arg) : true;
}

/** `1 link`, `2 links`, `3 switches`. */
export function many(n: number, what: string, ending: string = "s"): string {
  return `${n} ${what}${n === 1 ? "" : ending}`;
}
