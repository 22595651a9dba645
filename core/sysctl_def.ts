/** What a plugin says about a tunable: its default, its range, where it is written. */

/** One knob. */
export interface SysctlDef {
  /** Linux's default. A number, or several (`tcp_rmem`). */
  readonly value: number | readonly number[];
  /** Smallest value. Default: none. */
  readonly min?: number;
  /** Largest value. Default: none. */
  readonly max?: number;
  /** Writes the plain field that the path reads. Called once at definition too. */
  readonly apply: (value: number, all: readonly number[]) => void;
}

/** Resolves names below a prefix. */
export interface SysctlTree {
  /** The value, or undefined: no such name. */
  get(rest: string): number | undefined;
  /** Sets; false: no such name. */
  set(rest: string, value: number): boolean;
  /** All names below the prefix. */
  list(): string[];
}

/** A knob whose value is a word: `net.ipv4.tcp_congestion_control`. */
export interface SysctlText {
  /** The value as it stands. */
  get(): string;
  /** Sets; false: no such value. */
  set(value: string): boolean;
  /** All that it takes, for the error. */
  list(): readonly string[];
}
