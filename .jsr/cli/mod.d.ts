/** Names given as one string, a list of strings, or (without `as const`) nothing known. */
type Named<S> = S extends string ? S : S extends readonly (infer N)[] ? Extract<N, string> : never;

/** The flags as std types them: booleans are always there, strings may be missing, collected ones are arrays. */
type Flags<B, S, C, N, D> =
  & { [K in Named<B>]: K extends Named<C> ? boolean[] : boolean }
  & {
    [K in Exclude<Named<S>, keyof D | Named<C>>]?: K extends Named<N> ? string | false : string;
  }
  & { [K in Extract<Named<S>, Named<C>>]: string[] }
  & { [K in Exclude<Named<C>, Named<S> | Named<B>>]: unknown[] }
  & {
    [K in Exclude<keyof D, Named<B>>]: K extends Named<S>
      ? (K extends Named<C> ? string[] : string | D[K])
      : unknown;
  };

/** What parseArgs returns. */
export type Args<T = Record<string, unknown>> = T & Record<string, unknown> & { _: Array<string | number> };

export interface ParseOptions<
  B extends string | undefined = string | undefined,
  S extends string | undefined = string | undefined,
  C extends string | undefined = string | undefined,
  N extends string | undefined = string | undefined,
  D extends Record<string, unknown> | undefined = Record<string, unknown> | undefined,
> {
  "--"?: boolean;
  alias?: Record<string, string | readonly string[]>;
  boolean?: boolean | B | ReadonlyArray<Extract<B, string>>;
  default?: D;
  stopEarly?: boolean;
  string?: S | ReadonlyArray<Extract<S, string>>;
  collect?: C | ReadonlyArray<Extract<C, string>>;
  negatable?: N | ReadonlyArray<Extract<N, string>>;
  unknown?: (arg: string, key?: string, value?: unknown) => unknown;
}

export function parseArgs<
  B extends string | undefined = undefined,
  S extends string | undefined = undefined,
  C extends string | undefined = undefined,
  N extends string | undefined = undefined,
  // deno-lint-ignore ban-types
  D extends Record<string, unknown> | undefined = {},
>(args: readonly string[], options?: ParseOptions<B, S, C, N, D>): Args<Flags<B, S, C, N, D>> & { "--"?: string[] };
