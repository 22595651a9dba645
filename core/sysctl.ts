/**
 * Linux's tunables by Linux's names, per net. Linux: net/core/sysctl_net_core.c, Documentation/networking/ip-sysctl.rst.
 * A plugin defines a knob with its default and a setter that writes a plain field; the path reads the field. Names
 * with a device (`net.ipv4.conf.eth0.rp_filter`) belong to one *tree* whose owner resolves the rest of the name.
 */
import { nearest } from "./errno.ts";
import { registerNow, type Registrar, smallInt } from "./event_bus.ts";

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

/** Resolves names below a prefix, or one name whose value is a word: the rest is then empty. */
export interface SysctlTree {
  /** The value, or undefined: no such name. */
  get(rest: string): number | string | undefined;
  /** Sets the number, or the word; false: no such name. What it does not take is a RangeError of its own. */
  set(rest: string, value: number, word: string): boolean;
  /** All names below the prefix. */
  list(): string[];
}

interface Knob {
  def: SysctlDef;
  values: readonly number[];
}

/**
 * The tunables of a net.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { Sysctl } from "@netpath/stack/core";
 *
 * const sysctl = new Sysctl();
 * let ttl = 0;
 * sysctl.define("net.ipv4.ip_default_ttl", { value: 64, min: 1, max: 255, apply: (v) => ttl = v });
 * sysctl.set("net.ipv4.ip_default_ttl", 32);
 * assertEquals(ttl, 32);
 * ```
 */
export class Sysctl {
  readonly #register: Registrar;
  readonly #knobs = new Map<string, Knob>();
  readonly #trees = new Map<string, SysctlTree>();
  /** What was set by hand outlives the plugin that defined it: it is swapped, not reset. */
  readonly #set = new Map<string, readonly number[]>();

  /** No tunables yet. */
  constructor(registrar: Registrar = registerNow) {
    this.#register = registrar;
  }

  /** Defines a knob; a value that was set before (by the plugin that is swapped) is kept. */
  define(name: string, def: SysctlDef): Disposable {
    return this.#register(() => {
      const knob = { def, values: this.#set.get(name) ?? (typeof def.value === "number" ? [def.value] : def.value) };
      this.#knobs.set(name, knob);
      def.apply(smallInt(knob.values[0]), knob.values);
      return () => {
        if (this.#knobs.get(name) === knob) this.#knobs.delete(name);
      };
    });
  }

  /** Owns all names that begin with `prefix` (with its final dot). */
  defineTree(prefix: string, tree: SysctlTree): Disposable {
    return this.#register(() => {
      this.#trees.set(prefix, tree);
      return () => {
        if (this.#trees.get(prefix) === tree) this.#trees.delete(prefix);
      };
    });
  }

  /** The value; of several, the first; of a word, NaN. An unknown name is a TypeError with the nearest names. */
  get(name: string): number {
    return Number(this.#knobs.get(name)?.values[0] ?? this.getText(name));
  }

  /** The value as /proc/sys shows it. */
  getText(name: string): string {
    const at = this.#tree(name);
    const found = this.#knobs.get(name)?.values.join(" ") ?? at?.tree.get(at.rest);
    if (found === undefined) throw this.#unknown(name);
    return String(found);
  }

  /** All values of a knob that has several. */
  getAll(name: string): readonly number[] {
    return this.#knobs.get(name)?.values ?? [this.get(name)];
  }

  /** Sets a value, several, or a word; out of range is a RangeError, an unknown name a TypeError. */
  set(name: string, value: number | readonly number[] | string): void {
    const at = this.#tree(name);
    if (at?.rest === "" && at.tree.set("", Number(value), String(value))) return;
    const knob = this.#knobs.get(name);
    if (knob === undefined && at?.tree.get(at.rest) === undefined) throw this.#unknown(name);
    const given = typeof value === "string" ? value.trim().split(/\s+/).map(Number) : value;
    const values = typeof given === "number" ? [given] : given;
    const wrong = Array.isArray(values) ? values.find((v) => !Number.isInteger(v)) : values;
    if (wrong !== undefined || values.length === 0) {
      const shown = JSON.stringify(typeof value === "string" ? value : wrong) ?? "nothing";
      throw new RangeError(`Cannot set ${name} to ${shown}: it takes a whole number`);
    }
    if (knob === undefined) return void at!.tree.set(at!.rest, values[0], String(values[0]));
    const { min = -Infinity, max = Infinity } = knob.def;
    for (const v of values) {
      if (v < min || v > max) {
        throw new RangeError(`Cannot set ${name} to ${v}: it takes a number from ${min} to ${max}`);
      }
    }
    if (values.length !== knob.values.length) {
      throw new RangeError(`Cannot set ${name}: it takes ${knob.values.length} values, not ${values.length}`);
    }
    knob.values = [...values];
    this.#set.set(name, knob.values);
    knob.def.apply(smallInt(values[0]), knob.values);
  }

  /** All names, sorted. */
  list(): string[] {
    const names = [...this.#knobs.keys()];
    for (const [prefix, tree] of this.#trees) names.push(...tree.list().map((rest) => prefix + rest));
    return names.sort();
  }

  #tree(name: string): { tree: SysctlTree; rest: string } | undefined {
    for (const [prefix, tree] of this.#trees) {
      if (name.startsWith(prefix)) return { tree, rest: name.slice(prefix.length) };
    }
    return undefined;
  }

  #unknown(name: string): TypeError {
    const near = nearest(name, this.list());
    const hint = near.length > 0 ? `did you mean ${near.join(" or ")}?` : "sysctl.list() has all names";
    return new TypeError(`Unknown sysctl ${name || '""'}: ${hint}`);
  }
}
