/**
 * The plugins of a net: their order, what they registered, what they provide, and how one replaces another while
 * packets flow.
 *
 * A *slot* holds a plugin and its registrations. A registration can be taken off and put on again, so that a swap that
 * fails half way leaves everything as it was.
 */
import type { Machine } from "./machine.ts";
import type { Net } from "./net.ts";
import { checkPlugin, type Plugin, PluginError, type Token } from "./plugin.ts";

/**
 * The order in which `plugins` are set up, after all their needs are checked. `present` are those already in the net.
 * Throws a {@linkcode PluginError} that names both sides.
 */
export function orderPlugins(plugins: readonly Plugin[], present: readonly Plugin[]): Plugin[] {
  const providers = new Map<string, string>();
  const names = new Set<string>();
  for (const p of [...present, ...plugins]) {
    checkPlugin(p);
    if (names.has(p.name)) {
      throw new PluginError("NETPATH_DUPLICATE_PLUGIN", [p.name], `Cannot use plugin ${p.name} twice in one net`);
    }
    names.add(p.name);
    for (const t of p.provides ?? []) {
      const other = providers.get(t.name);
      if (other !== undefined) {
        throw new PluginError(
          "NETPATH_DOUBLE_PROVIDER",
          [other, p.name],
          `Cannot use plugin ${p.name}: it provides ${t.name}, and so does ${other}; use net.swap() to replace it`,
        );
      }
      providers.set(t.name, p.name);
    }
  }
  for (const p of plugins) {
    for (const t of p.requires ?? []) {
      if (!providers.has(t.name)) {
        throw new PluginError(
          "NETPATH_MISSING_NEED",
          [p.name],
          `Cannot use plugin ${p.name}: it needs ${t.name}, which no plugin here provides${hint(t.name)}`,
        );
      }
    }
  }
  return sort(plugins, providers);
}

/** The house's own tokens are called as the plugins that provide them. */
function hint(tokenName: string): string {
  const [house, plugin] = tokenName.split(":");
  return house === "netpath" && plugin !== undefined ? `; add ${plugin}()` : "";
}

function sort(plugins: readonly Plugin[], providers: ReadonlyMap<string, string>): Plugin[] {
  const byName = new Map(plugins.map((p) => [p.name, p]));
  const edges = new Map<string, Set<string>>(plugins.map((p) => [p.name, new Set()]));
  const edge = (first: string | undefined, second: string): void => {
    if (first !== undefined && first !== second && byName.has(first)) edges.get(second)?.add(first);
  };
  for (const p of plugins) {
    for (const t of [...(p.requires ?? []), ...(p.uses ?? [])]) edge(providers.get(t.name), p.name);
    for (const name of p.after ?? []) edge(name, p.name);
    for (const name of p.before ?? []) edge(p.name, name);
  }
  const out: Plugin[] = [];
  const state = new Map<string, "open" | "done">();
  const path: string[] = [];
  const visit = (name: string): void => {
    if (state.get(name) === "done") return;
    path.push(name);
    if (state.get(name) === "open") {
      const cycle = path.slice(path.indexOf(name));
      throw new PluginError("NETPATH_CYCLE", cycle.slice(1), `Cannot order plugins: ${cycle.join(" needs ")}`);
    }
    state.set(name, "open");
    for (const first of edges.get(name) ?? []) visit(first);
    state.set(name, "done");
    path.pop();
    out.push(byName.get(name)!);
  };
  for (const p of plugins) visit(p.name);
  return out;
}

/** One thing that is registered somewhere: on while its plugin is in the net. */
class Registration implements Disposable {
  readonly #apply: () => () => void;
  readonly #home: Set<Registration>;
  #undo: (() => void) | null = null;
  #ended = false;

  constructor(apply: () => () => void, home: Set<Registration>) {
    this.#apply = apply;
    this.#home = home;
    home.add(this);
  }

  on(): void {
    if (!this.#ended && this.#undo === null) this.#undo = this.#apply();
  }

  off(): void {
    const undo = this.#undo;
    this.#undo = null;
    undo?.();
  }

  [Symbol.dispose](): void {
    this.#ended = true;
    this.#home.delete(this);
    this.off();
  }
}

/** A plugin, and all that it registered through its net. */
class Slot {
  declare readonly plugin: Plugin;
  readonly registrations: Set<Registration> = new Set();
  readonly tokens: Set<string> = new Set();
  end: Disposable | null = null;

  constructor(plugin: Plugin) {
    this.plugin = plugin;
  }

  on(): void {
    for (const r of this.registrations) r.on();
  }

  off(): void {
    for (const r of [...this.registrations].reverse()) r.off();
  }

  dispose(): void {
    for (const r of [...this.registrations].reverse()) r[Symbol.dispose]();
    this.end?.[Symbol.dispose]();
    this.end = null;
  }
}

/** What a plugin does in `setup` of a swap waits here for the commit. */
interface Staging {
  readonly records: Map<string, object>;
}

interface State {
  readonly value: unknown;
  readonly end: (() => void) | null;
}

/** The part of {@linkcode Net} that knows its plugins. */
export abstract class Registry {
  /** The machine. */
  abstract readonly machine: Machine;
  /** Shown in traces. */
  abstract readonly name: string;
  readonly #records = new Map<string, object>();
  readonly #states = new Map<string, State>();
  readonly #slots: Slot[] = [];
  readonly #loose: Set<Registration> = new Set();
  #owner: Slot | null = null;
  #staging: Staging | null = null;
  #replacing = false;
  #newStates: string[] = [];
  #ended = false;

  /** The plugins, in order of setup. */
  get plugins(): Plugin[] {
    return this.#slots.map((s) => s.plugin);
  }

  /** Adds plugins; all their needs are checked before any of them runs. */
  use(...plugins: Plugin[]): this {
    for (const plugin of orderPlugins(plugins, this.plugins)) {
      const slot = new Slot(plugin);
      this.#setup(slot, `Cannot use plugin ${plugin.name}: its setup threw`);
      this.#slots.push(slot);
    }
    return this;
  }

  /** The record of a token; missing is a {@linkcode PluginError}. */
  get<T>(t: Token<T>): T {
    const record = this.find(t);
    if (record === null) {
      const who = this.#owner?.plugin.name ?? this.name;
      if (this.#ended) {
        throw new PluginError("NETPATH_NOT_PROVIDED", [who], `Cannot use ${t.name}: ${this.name} has ended`);
      }
      throw new PluginError("NETPATH_NOT_PROVIDED", [who], `${who} asked for ${t.name}, which no plugin provides`);
    }
    return record;
  }

  /** The record of a token, or null. */
  find<T>(t: Token<T>): T | null {
    return (this.#staging?.records.get(t.name) ?? this.#records.get(t.name) ?? null) as T | null;
  }

  /**
   * Offers the record of a token. It stays the same object for good: at a swap its slots are overwritten with those of
   * the new plugin's record, so that whoever captured it is never left with a stale one.
   */
  provide<T extends object>(t: Token<T>, record: T): Disposable {
    this.#owner?.tokens.add(t.name);
    this.#staging?.records.set(t.name, record);
    return this.registration(() => {
      const known = this.#records.get(t.name);
      if (known === undefined) this.#records.set(t.name, record);
      else overwrite(known, record);
      return () => {
        if (!this.#replacing) this.#records.delete(t.name);
      };
    });
  }

  /**
   * State that belongs to the slot, not to the plugin: made once, found again after a swap. The key is the plugin's
   * name and a colon. `end` gives back what it holds when the net ends, after all plugins.
   */
  state<T>(key: string, init: () => T, end?: (state: T) => void): T {
    const known = this.#states.get(key);
    if (known !== undefined) return known.value as T;
    const value = init();
    this.#states.set(key, { value, end: end === undefined ? null : () => end(value) });
    this.#newStates.push(key);
    return value;
  }

  /**
   * The heart of every registration function: `apply` registers now, or at the commit of a swap, and returns its undo.
   * A registration made in `setup` ends with its plugin.
   */
  registration(apply: () => () => void): Disposable {
    const r = new Registration(apply, this.#owner?.registrations ?? this.#loose);
    if (this.#staging === null) r.on();
    return r;
  }

  /**
   * Replaces the plugin `name` while packets flow. The new one sets up in a staging area; the commit is one step
   * between softirq runs; a throw, in `setup` or at the commit, leaves the old one running and is a
   * {@linkcode PluginError}. Called from within a softirq, the commit waits for its end; an error is then a fault of
   * the machine.
   */
  swap(name: string, plugin: Plugin): void {
    const old = this.#slots.find((s) => s.plugin.name === name);
    if (old === undefined) {
      const has = this.plugins.map((p) => p.name).join(", ");
      throw new PluginError("NETPATH_UNKNOWN_PLUGIN", [name], `Cannot swap plugin ${name}: ${this.name} has ${has}`);
    }
    checkSwap(old.plugin, plugin, this.plugins.filter((p) => p !== old.plugin));
    const slot = new Slot(plugin);
    const staging: Staging = { records: new Map() };
    this.#staging = staging;
    try {
      this.#setup(slot, `Cannot swap ${name}: setup of ${plugin.name} threw`);
    } finally {
      this.#staging = null;
    }
    this.machine.atRest(() => this.#commit(old, slot, staging));
  }

  /** Ends all plugins, in reverse, and their state. */
  protected endPlugins(): void {
    for (const r of [...this.#loose].reverse()) r[Symbol.dispose]();
    for (const slot of this.#slots.splice(0).reverse()) slot.dispose();
    for (const state of [...this.#states.values()].reverse()) state.end?.();
    this.#states.clear();
    this.#records.clear();
    this.#ended = true;
  }

  #setup(slot: Slot, message: string): void {
    const outer = this.#owner;
    const outerStates = this.#newStates;
    this.#owner = slot;
    this.#newStates = [];
    try {
      slot.end = slot.plugin.setup(this as unknown as Net) ?? null;
      const missing = slot.plugin.provides?.find((t) => !slot.tokens.has(t.name));
      if (missing !== undefined) throw new Error(`it says that it provides ${missing.name}, and does not`);
    } catch (error) {
      slot.dispose();
      for (const key of this.#newStates.reverse()) {
        this.#states.get(key)?.end?.();
        this.#states.delete(key);
      }
      if (error instanceof PluginError) throw error;
      const what = error instanceof Error ? error.message : String(error);
      throw new PluginError("NETPATH_SETUP_THREW", [slot.plugin.name], `${message}: ${what}`, { cause: error });
    } finally {
      this.#owner = outer;
      this.#newStates = outerStates;
    }
  }

  #commit(old: Slot, slot: Slot, staging: Staging): void {
    const at = this.#slots.indexOf(old);
    if (at < 0) return slot.dispose();
    const before = new Map<string, PropertyDescriptorMap | null>();
    for (const name of staging.records.keys()) {
      const known = this.#records.get(name);
      before.set(name, known === undefined ? null : Object.getOwnPropertyDescriptors(known));
    }
    this.machine.enter();
    this.#replacing = true;
    try {
      slot.plugin.handover?.(old.plugin);
      old.off();
      slot.on();
      this.#slots[at] = slot;
      for (const name of old.tokens) if (!slot.tokens.has(name)) this.#records.delete(name);
    } catch (error) {
      slot.dispose();
      this.#restore(before);
      old.on();
      const what = error instanceof Error ? error.message : String(error);
      const message = `Cannot swap ${old.plugin.name}: ${slot.plugin.name} threw at the commit: ${what}`;
      throw new PluginError("NETPATH_SETUP_THREW", [slot.plugin.name], message, { cause: error });
    } finally {
      this.#replacing = false;
      this.machine.exit();
    }
    old.dispose();
  }

  #restore(before: ReadonlyMap<string, PropertyDescriptorMap | null>): void {
    for (const [name, descriptors] of before) {
      const known = this.#records.get(name);
      if (descriptors === null || known === undefined) this.#records.delete(name);
      else {
        for (const key of Reflect.ownKeys(known)) if (!(key in descriptors)) Reflect.deleteProperty(known, key);
        Object.defineProperties(known, descriptors);
      }
    }
  }
}

/** What a swap may not do; throws a {@linkcode PluginError}. */
function checkSwap(old: Plugin, plugin: Plugin, others: readonly Plugin[]): void {
  orderPlugins([plugin], others);
  const offered = new Set((plugin.provides ?? []).map((t) => t.name));
  for (const t of old.provides ?? []) {
    const user = others.find((p) => p.requires?.some((r) => r.name === t.name));
    if (offered.has(t.name) || user === undefined) continue;
    throw new PluginError(
      "NETPATH_STILL_NEEDED",
      [plugin.name, user.name],
      `Cannot swap ${old.name}: ${user.name} needs ${t.name}, which ${plugin.name} does not provide`,
    );
  }
  if (old.privateState === true && plugin.handover === undefined) {
    throw new PluginError(
      "NETPATH_PRIVATE_STATE",
      [old.name, plugin.name],
      `Cannot swap ${old.name}: it keeps private state, and ${plugin.name} has no handover(old)`,
    );
  }
}

/**
 * Makes the record that others hold act as `fresh`: its functions are called on `fresh`, its fields are read and written
 * there. What both share already (slot state) stays a plain field.
 */
function overwrite(record: object, fresh: object): void {
  if (record === fresh) return;
  for (let level = fresh; level !== Object.prototype && level !== null; level = Object.getPrototypeOf(level)) {
    for (const key of Reflect.ownKeys(level)) {
      if (key === "constructor" || (level !== fresh && Object.hasOwn(fresh, key))) continue;
      const value: unknown = Reflect.get(fresh, key);
      const shape = typeof value === "function"
        ? { value: value.bind(fresh), writable: true }
        : typeof value === "object" && value === Reflect.get(record, key)
        ? { value, writable: true }
        : { get: () => Reflect.get(fresh, key), set: (v: unknown) => void Reflect.set(fresh, key, v) };
      Object.defineProperty(record, key, { ...shape, enumerable: true, configurable: true });
    }
  }
}
