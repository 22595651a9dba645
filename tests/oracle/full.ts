/**
 * How much the oracle's tests do: enough to notice a fault within a suite that takes two minutes, or all that is promised:
 *
 *     deno test -A tests/oracle -- --full
 *
 * @module
 */

/** All that is promised. */
export const FULL: boolean = Deno.args.includes("--full");

/** `all` with `--full`, else `some`. */
export function amount(all: number, some: number): number {
  return FULL ? all : some;
}
