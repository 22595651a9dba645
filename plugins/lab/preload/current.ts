/**
 * What `net.ts` gives out: the shim puts it here before a program is loaded. The module loader makes one instance of a module
 * for the process; so this is the one place that is the process's and not a net's.
 */
import type * as RealNet from "node:net";

const KEY = Symbol.for("netpath.shim.net");

/** Used by the shim. */
export function setCurrent(module: typeof RealNet): void {
  (globalThis as Record<symbol, unknown>)[KEY] = module;
}

/** `node:net` as programs see it. Without the shim it is a TypeError. */
export function current(): typeof RealNet {
  const module = (globalThis as Record<symbol, unknown>)[KEY];
  if (module === undefined) {
    throw new TypeError("Cannot load the shim's node:net: preload @netpath/stack/preload first");
  }
  return module as typeof RealNet;
}
