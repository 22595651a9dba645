/** ANSI colours, or none. */

/** Colours by what they mean. */
export interface Paint {
  /** A heading. */
  readonly bold: (text: string) => string;
  /** What may be skipped. */
  readonly dim: (text: string) => string;
  /** The textbook. */
  readonly yellow: (text: string) => string;
  /** A drop. */
  readonly red: (text: string) => string;
  /** A copy. */
  readonly magenta: (text: string) => string;
  /** A number of a claim. */
  readonly cyan: (text: string) => string;
  /** An execution context, in its own colour. */
  readonly context: (name: string, text: string) => string;
}

const CONTEXT_CODE: Readonly<Record<string, number>> = { process: 32, hardirq: 31, softirq: 33, ksoftirqd: 35 };

/** Painters: with ANSI codes, or the text as it is. */
export function paint(color: boolean): Paint {
  const sgr = (code: number) => (text: string): string => color && text !== "" ? `\x1b[${code}m${text}\x1b[0m` : text;
  return {
    bold: sgr(1),
    dim: sgr(2),
    yellow: sgr(33),
    red: sgr(31),
    magenta: sgr(35),
    cyan: sgr(36),
    context: (name, text) => sgr(CONTEXT_CODE[name] ?? 0)(text),
  };
}
