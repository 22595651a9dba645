/** What is wrong with a lab file: all of it at once, each with file, line, path, and what was expected. */
import { nearest } from "../../../core/mod.ts";
import type { Path } from "./locate.ts";

/** One thing that is wrong. */
export interface LabProblem {
  /** The file as it was named. */
  readonly file: string;
  /** Line, from 1. */
  readonly line: number;
  /** `hosts.a.nics.eth0.mtu`. */
  readonly path: string;
  /** What is wrong, what was expected, and maybe what was meant. */
  readonly message: string;
}

/** A lab file cannot be used. Its message has a line for each {@linkcode LabProblem}. */
export class LabFileError extends Error {
  /** All of them. */
  readonly problems: readonly LabProblem[];

  /** An error about `problems`, of which there is at least one. */
  constructor(problems: readonly LabProblem[]) {
    super(problems.map(problemText).join("\n"));
    this.name = "LabFileError";
    this.problems = problems;
  }
}

/** `lab.yaml:7: hosts.a.nics.eth0.mtu: expected a whole number from 68 to 65535, not "big"`. */
export function problemText(p: LabProblem): string {
  return `${p.file}:${p.line}: ${p.path === "" ? "" : `${p.path}: `}${p.message}`;
}

/** A path as text. */
export function pathText(path: Path): string {
  return path.map((step, i) => typeof step === "number" ? `[${step}]` : i === 0 ? step : `.${step}`).join("");
}

/** `; did you mean "eth0"?`, or "". */
export function didYouMean(word: string, names: readonly string[]): string {
  // Of so few letters every other word is a few away.
  const [best] = word.length < 3 ? [] : nearest(word, names);
  return best === undefined ? "" : `; did you mean "${best}"?`;
}
