/**
 * Plugins: typed tokens, needs that are checked before anything runs, staging and swap.
 *
 * A plugin is a plain object from a factory. It needs tokens and offers tokens; a token names a *stable ops record*,
 * overwritten in place at a swap, so that whoever captured it never holds a stale one.
 */
import type { Net } from "./net.ts";
import type { NetDevice, TapFn } from "./net_device.ts";
import type { SkBuff } from "./sk_buff.ts";
import { DROP } from "./drop_reason.ts";

/** Names an ops record of type `T`. Two tokens with one name are the same token. */
export interface Token<T> {
  /** `netpath:ipv4`. */
  readonly name: string;
  /** Carries the type; never set. */
  readonly type?: T;
}

/** A token. */
export function token<T>(name: string): Token<T> {
  return { name };
}

/**
 * One stage of the path.
 *
 * @example
 * ```ts
 * import type { Plugin } from "@netpath/stack/core";
 *
 * const hello: Plugin = {
 *   name: "hello",
 *   api: 1,
 *   setup: (net) => net.netdevChain.register((e) => console.log(e.kind, e.dev.name)),
 * };
 * ```
 */
export interface Plugin {
  /** Unique in a net. */
  readonly name: string;
  /** Version of this contract: 1. */
  readonly api: 1;
  /** Shown by `netpath plugins`. */
  readonly version?: string;
  /** Tokens that must be offered by others. */
  readonly requires?: readonly Token<unknown>[];
  /** Tokens that are used where they are offered: they come first if they come at all. */
  readonly uses?: readonly Token<unknown>[];
  /** Tokens that `setup` provides. */
  readonly provides?: readonly Token<unknown>[];
  /** Names of plugins that must be set up later. */
  readonly before?: readonly string[];
  /** Names of plugins that must be set up earlier. */
  readonly after?: readonly string[];
  /** It keeps state outside the net's slots; a swap then needs {@linkcode handover}. */
  readonly privateState?: boolean;
  /** Registers. What it returns is disposed at the end, after all that it registered through `net`. */
  setup(net: Net): Disposable | void;
  /** Takes the private state over from the plugin that it replaces. Runs after `setup`, before the commit. */
  handover?(old: Plugin): void;
}

/** Codes of {@linkcode PluginError}. Never reused. */
export type PluginErrorCode =
  | "NETPATH_BAD_PLUGIN"
  | "NETPATH_API_VERSION"
  | "NETPATH_DUPLICATE_PLUGIN"
  | "NETPATH_MISSING_NEED"
  | "NETPATH_DOUBLE_PROVIDER"
  | "NETPATH_CYCLE"
  | "NETPATH_NOT_PROVIDED"
  | "NETPATH_SETUP_THREW"
  | "NETPATH_THREW_ON_PATH"
  | "NETPATH_UNKNOWN_PLUGIN"
  | "NETPATH_PRIVATE_STATE"
  | "NETPATH_STILL_NEEDED";

/** A wrong set of plugins, or a plugin that failed. */
export class PluginError extends Error {
  /** Which. */
  declare readonly code: PluginErrorCode;
  /** The plugins it is about. */
  declare readonly plugins: readonly string[];

  /** An error of class `code` about `plugins`. */
  constructor(code: PluginErrorCode, plugins: readonly string[], message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "PluginError";
    this.code = code;
    this.plugins = plugins;
  }
}

/** Checks the shape of a plugin. */
export function checkPlugin(plugin: Plugin): void {
  const name = (plugin as Partial<Plugin> | null)?.name;
  if (typeof name !== "string" || name === "" || typeof plugin.setup !== "function") {
    throw new PluginError(
      "NETPATH_BAD_PLUGIN",
      [String(name)],
      `Cannot use plugin ${
        String(name)
      }: a plugin is { name, api: 1, setup(net) }; did you forget to call its factory?`,
    );
  }
  if (plugin.api !== 1) {
    throw new PluginError(
      "NETPATH_API_VERSION",
      [name],
      `Cannot use plugin ${name}: it is written for api ${String(plugin.api)}, this is api 1`,
    );
  }
}

/** Registers a tap on all devices of a net. Linux: dev_add_pack() with ETH_P_ALL. */
export function devAddTap(net: Net, fn: TapFn): Disposable {
  return net.registration(() => {
    net.ptypes.taps = [...net.ptypes.taps, fn];
    return () => {
      net.ptypes.taps = net.ptypes.taps.filter((t) => t !== fn);
    };
  });
}

/** Shows a packet to the taps. Linux: dev_queue_xmit_nit(). Borrows `skb`. */
export function runTaps(skb: SkBuff, dev: NetDevice, outgoing: boolean): void {
  try {
    for (const tap of dev.net.ptypes.taps) tap(skb, dev, outgoing);
    for (const tap of dev.taps) tap(skb, dev, outgoing);
  } catch (error) {
    dev.net.pluginError(`a tap of ${dev.name}`, error);
  }
}

/**
 * Calls what a plugin put on a device's way in: an exception drops the packet, the driver's poll goes on; then it gives -1.
 * Takes ownership of `skb` unless it returns what `fn` says.
 */
export function guarded(fn: (skb: SkBuff) => number, skb: SkBuff, dev: NetDevice, what: string): number {
  const id = skb.id;
  try {
    return fn(skb);
  } catch (error) {
    dev.net.pluginError(`the ${what} of ${dev.name}`, error);
    if (skb.live !== 0 && skb.id === id) dev.net.drop(skb, DROP.PLUGIN_ERROR);
    return -1;
  }
}
