/**
 * What the shim is told.
 *
 * @module
 */

/** Resolves a name to an IPv4 address; null: unknown. */
export type Resolve = (hostname: string) => string | null | Promise<string | null>;

/** Options of {@linkcode install}. */
export interface InstallOptions {
  /** Resolves names: the stack has no resolver of its own. Default: none but `localhost`. */
  resolve?: Resolve;
}

/** Puts values in place of others and back again. */
export class Swaps implements Disposable {
  readonly #undo: (() => void)[] = [];

  /** `target[name]` is `value` from now on; what it was. */
  put(target: object, name: string, value: unknown): unknown {
    const record = target as Record<string, unknown>;
    const own = Object.getOwnPropertyDescriptor(target, name);
    const before = record[name];
    Object.defineProperty(target, name, {
      value,
      writable: true,
      configurable: true,
      enumerable: own?.enumerable ?? true,
    });
    this.#undo.push(() => {
      if (own === undefined) delete record[name];
      else Object.defineProperty(target, name, own);
    });
    return before;
  }

  /** Something else to undo. */
  onEnd(undo: () => void): void {
    this.#undo.push(undo);
  }

  /** All as it was. */
  [Symbol.dispose](): void {
    for (const undo of this.#undo.splice(0).reverse()) undo();
  }
}

/** IPv6's words for "all" and "this host" in IPv4's; anything else as it is. */
export function inIpv4(hostname: string): string {
  const bare = hostname.replace(/^\[(.*)\]$/, "$1");
  if (bare === "::" || bare === "") return "0.0.0.0";
  return bare === "::1" ? "127.0.0.1" : hostname;
}

/** The address of a name; a name that nobody knows stays as it is: who uses it says so. */
export async function addressOf(hostname: string, resolve: Resolve | undefined): Promise<string> {
  const known = inIpv4(hostname);
  if (/^[\d.]+$/.test(known) || known === "localhost") return known;
  return await resolve?.(known) ?? known;
}
