/**
 * The event bus. Two kinds of event, and packets are neither: packets move by direct calls.
 *
 * - *Tracepoints* observe. Each has a Linux name, belongs to a group, and costs one test of a mask while nobody
 *   listens to its group: `if ((bus.mask & G_NET) !== 0) bus.hit(TP_X, skb, a, b, obj);`. Linux: include/trace/events/.
 * - *Notifier chains* control: ordered by priority, a callback may veto. Linux: kernel/notifier.c.
 *
 * Beside it stands the copy ledger, which counts the bytes that `core/copy.ts` moves by *site*: a named place of the
 * path (`udp_sendmsg`, `skb_copy_datagram`, `nic_dma`). Its kind says who moves the bytes: `cpu` for a copy of payload,
 * `dma` for a device, `header` for header bytes that a private head needs. The counters are always on; they cost two
 * additions a move.
 */
import type { SkBuff } from "./sk_buff.ts";

/** Group bit: interrupts and softirqs. */
export const G_IRQ = 1;
/** Group bit: NAPI and rings. */
export const G_NAPI = 2;
/** Group bit: devices, qdiscs, transmit and receive entry. */
export const G_NET = 4;
/** Group bit: link layer and neighbours. */
export const G_LINK = 8;
/** Group bit: network layer. */
export const G_IP = 16;
/** Group bit: netfilter. */
export const G_NF = 32;
/** Group bit: transport and sockets. */
export const G_SOCK = 64;
/** Group bit: frees and drops. */
export const G_SKB = 128;
/** Group bit: points of users' plugins. */
export const G_USER = 256;

/** What a tracepoint is. */
export interface TracepointDef {
  /** `net:netif_receive_skb`: Linux's name where there is one. */
  readonly name: string;
  /** The Linux function that it stands in. */
  readonly linux: string;
  /** Group bit. */
  readonly group: number;
}

/**
 * A listener: the packet (or null), two numbers, and an object, whose meaning the tracepoint's doc gives.
 * Borrows `skb`.
 */
export type TraceFn = (skb: SkBuff | null, a: number, b: number, obj: unknown, id: number) => void;

const CORE: readonly TracepointDef[] = [
  { name: "irq:irq_handler_entry", linux: "__handle_irq_event_percpu", group: G_IRQ },
  { name: "irq:irq_handler_exit", linux: "__handle_irq_event_percpu", group: G_IRQ },
  { name: "irq:softirq_raise", linux: "raise_softirq_irqoff", group: G_IRQ },
  { name: "irq:softirq_entry", linux: "handle_softirqs", group: G_IRQ },
  { name: "irq:softirq_exit", linux: "handle_softirqs", group: G_IRQ },
  { name: "irq:ksoftirqd_wake", linux: "wakeup_softirqd", group: G_IRQ },
  { name: "napi:napi_schedule", linux: "napi_schedule", group: G_NAPI },
  { name: "napi:napi_poll", linux: "napi_poll", group: G_NAPI },
  { name: "napi:napi_complete_done", linux: "napi_complete_done", group: G_NAPI },
  { name: "net:netif_rx", linux: "netif_rx", group: G_NET },
  { name: "net:netif_receive_skb", linux: "__netif_receive_skb_core", group: G_NET },
  { name: "net:net_dev_queue", linux: "__dev_queue_xmit", group: G_NET },
  { name: "net:net_dev_start_xmit", linux: "xmit_one", group: G_NET },
  { name: "net:net_dev_xmit", linux: "dev_hard_start_xmit", group: G_NET },
  { name: "qdisc:qdisc_enqueue", linux: "dev_qdisc_enqueue", group: G_NET },
  { name: "qdisc:qdisc_dequeue", linux: "dequeue_skb", group: G_NET },
  { name: "skb:kfree_skb", linux: "kfree_skb_reason", group: G_SKB },
  { name: "skb:consume_skb", linux: "consume_skb", group: G_SKB },
];

/** `a` = line, obj = IrqLine. */
export const TP_IRQ_HANDLER_ENTRY = 0;
/** `a` = line, obj = IrqLine. */
export const TP_IRQ_HANDLER_EXIT = 1;
/** `a` = softirq number. */
export const TP_SOFTIRQ_RAISE = 2;
/** `a` = softirq number. */
export const TP_SOFTIRQ_ENTRY = 3;
/** `a` = softirq number. */
export const TP_SOFTIRQ_EXIT = 4;
/** `a` = pending bits. */
export const TP_KSOFTIRQD_WAKE = 5;
/** obj = Napi. */
export const TP_NAPI_SCHEDULE = 6;
/** `a` = work, `b` = budget, obj = Napi. */
export const TP_NAPI_POLL = 7;
/** `a` = work, obj = Napi. */
export const TP_NAPI_COMPLETE = 8;
/** skb put on the backlog. */
export const TP_NETIF_RX = 9;
/** skb enters the stack. */
export const TP_NETIF_RECEIVE_SKB = 10;
/** skb enters dev_queue_xmit. */
export const TP_NET_DEV_QUEUE = 11;
/** skb is given to the driver. */
export const TP_NET_DEV_START_XMIT = 12;
/** `a` = the driver's return code, `b` = length, obj = NetDevice; the skb is the driver's already: null. */
export const TP_NET_DEV_XMIT = 13;
/** `a` = qlen before, obj = Qdisc. */
export const TP_QDISC_ENQUEUE = 14;
/** `a` = qlen after, obj = Qdisc. */
export const TP_QDISC_DEQUEUE = 15;
/** `a` = drop reason. */
export const TP_KFREE_SKB = 16;
/** skb delivered or sent. */
export const TP_CONSUME_SKB = 17;

/**
 * Tracepoints of one machine.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { EventBus, G_USER } from "@netpath/stack/core";
 *
 * const bus = new EventBus();
 * const id = bus.define({ name: "mine:hello", linux: "", group: G_USER });
 * const seen: number[] = [];
 * using _on = bus.on("mine:hello", (_skb, a) => seen.push(a));
 * if ((bus.mask & G_USER) !== 0) bus.hit(id, null, 42, 0, null);
 * assertEquals(seen, [42]);
 * ```
 */
export class EventBus {
  /** Groups to which somebody listens. */
  mask: number = 0;
  /** A listener threw: the machine records it, for the path goes on. Rethrows where nobody set it. */
  onError: (name: string, error: unknown) => void = (_name, error) => {
    throw error;
  };
  readonly #defs: TracepointDef[] = [...CORE];
  #slots: (readonly TraceFn[] | null)[] = CORE.map(() => null);
  #all: readonly TraceFn[] = [];

  /** Defines a tracepoint; the same name gives the same id. */
  define(def: TracepointDef): number {
    const known = this.#defs.findIndex((d) => d.name === def.name);
    if (known >= 0) return known;
    this.#slots.push(null);
    return this.#defs.push(def) - 1;
  }

  /** The definition of a tracepoint. */
  def(id: number): TracepointDef {
    return this.#defs[id];
  }

  /** Every tracepoint that is defined. */
  list(): readonly TracepointDef[] {
    return this.#defs;
  }

  /** Listens to one tracepoint by name; an unknown name is a TypeError that names the nearest ones. */
  on(name: string, fn: TraceFn): Disposable {
    const id = this.#defs.findIndex((d) => d.name === name);
    if (id < 0) {
      const near = this.#defs.filter((d) => d.name.split(":")[0] === name.split(":")[0]).map((d) => d.name);
      throw new TypeError(`Cannot listen to tracepoint ${name}: unknown name; ${near.join(", ") || "see bus.list()"}`);
    }
    this.#slots[id] = [...(this.#slots[id] ?? []), fn];
    this.#remask();
    return {
      [Symbol.dispose]: () => {
        const left = (this.#slots[id] ?? []).filter((f) => f !== fn);
        this.#slots[id] = left.length === 0 ? null : left;
        this.#remask();
      },
    };
  }

  /** Listens to all tracepoints: the journey. */
  onAll(fn: TraceFn): Disposable {
    this.#all = [...this.#all, fn];
    this.#remask();
    return {
      [Symbol.dispose]: () => {
        this.#all = this.#all.filter((f) => f !== fn);
        this.#remask();
      },
    };
  }

  /** Fires tracepoint `id`. Call it behind a test of {@linkcode mask}. Borrows `skb`. */
  hit(id: number, skb: SkBuff | null, a: number, b: number, obj: unknown): void {
    try {
      const own = this.#slots[id];
      if (own !== null) { for (const fn of own) fn(skb, a, b, obj, id); }
      for (const fn of this.#all) fn(skb, a, b, obj, id);
    } catch (error) {
      this.onError(this.#defs[id].name, error);
    }
  }

  #remask(): void {
    let mask = this.#all.length > 0 ? -1 : 0;
    this.#slots.forEach((slot, id) => mask |= slot === null ? 0 : this.#defs[id].group);
    this.mask = mask;
  }
}

/** A notifier's answer: go on. */
export const NOTIFY_OK = 0;
/** A notifier's answer: veto; nobody after it is asked. */
export const NOTIFY_BAD = 1;

/**
 * Makes a registration: `apply` registers and returns its undo. `net.registration` is one: with it, what a plugin
 * registers in `setup` waits for the commit of a swap and ends with the plugin.
 */
export type Registrar = (apply: () => () => void) => Disposable;

/** The same number, small where it is whole: a field that never held a boxed number is read faster. */
export function smallInt(value: number): number {
  return (value | 0) === value ? value | 0 : value;
}

/** The registrar of what belongs to no net: registers at once. */
export function registerNow(apply: () => () => void): Disposable {
  let undo: (() => void) | null = apply();
  return {
    [Symbol.dispose]: () => {
      undo?.();
      undo = null;
    },
  };
}

/** An ordered list of callbacks for one kind of control event. Linux: struct raw_notifier_head. */
export class NotifierChain<E> {
  readonly #register: Registrar;
  #blocks: readonly { fn: (event: E) => number | void; priority: number }[] = [];
  /** Told what a callback threw; the others are asked all the same. Null: it is thrown on. */
  onError: ((error: unknown, event: E) => void) | null = null;

  /** An empty chain. A plugin's own chain takes `(apply) => net.registration(apply)`. */
  constructor(registrar: Registrar = registerNow) {
    this.#register = registrar;
  }

  /** Adds a callback; higher priority is asked first. */
  register(fn: (event: E) => number | void, priority: number = 0): Disposable {
    return this.#register(() => {
      const block = { fn, priority };
      this.#blocks = [...this.#blocks, block].sort((x, y) => y.priority - x.priority);
      return () => {
        this.#blocks = this.#blocks.filter((b) => b !== block);
      };
    });
  }

  /** Asks all in order; NOTIFY_BAD if one vetoed. */
  call(event: E): number {
    for (const block of this.#blocks) {
      try {
        if (block.fn(event) === NOTIFY_BAD) return NOTIFY_BAD;
      } catch (error) {
        if (this.onError === null) throw error;
        this.onError(error, event);
      }
    }
    return NOTIFY_OK;
  }
}

/** Who moves the bytes of a site. */
export type CopyKind = "cpu" | "dma" | "header";

/** One line of the ledger. */
export interface CopySite {
  /** The site's name, as in Linux's function where there is one. */
  readonly name: string;
  /** Who moves the bytes. */
  readonly kind: CopyKind;
  /** Bytes moved so far. */
  readonly bytes: number;
  /** Moves so far. */
  readonly calls: number;
}

/**
 * Counts bytes by site. One per machine.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { CopyLedger } from "@netpath/stack/core";
 *
 * const ledger = new CopyLedger();
 * const site = ledger.site("my_driver", "dma");
 * ledger.add(site, 64);
 * assertEquals(ledger.snapshot()[0], { name: "my_driver", kind: "dma", bytes: 64, calls: 1 });
 * ```
 */
export class CopyLedger {
  /** Called for each move while a tracer listens; `null` otherwise. */
  onMove: ((site: number, bytes: number) => void) | null = null;
  /** The views of users' buffers that copies made last: senders use theirs again. See core/copy.ts. */
  readonly sources: Uint8Array[] = [];
  /** Which of them was replaced last. */
  nextSource = 0;
  readonly #names: string[] = [];
  readonly #kinds: CopyKind[] = [];
  #bytes = new Float64Array(32);
  #calls = new Float64Array(32);
  #listeners: readonly ((site: number, bytes: number) => void)[] = [];

  /** The number of the site `name`; the same for the same name. */
  site(name: string, kind: CopyKind): number {
    const known = this.#names.indexOf(name);
    if (known >= 0) return known;
    const id = this.#names.push(name) - 1;
    this.#kinds.push(kind);
    if (id >= this.#bytes.length) {
      this.#bytes = grow(this.#bytes);
      this.#calls = grow(this.#calls);
    }
    return id;
  }

  /** Counts `bytes` at `site`. */
  add(site: number, bytes: number): void {
    this.#bytes[site] += bytes;
    this.#calls[site]++;
    if (this.onMove !== null) this.onMove(site, bytes);
  }

  /** Counts `calls` moves of `bytes` in all at `site`: for a batch that nobody listens to, {@linkcode onMove} is null. */
  addMany(site: number, bytes: number, calls: number): void {
    this.#bytes[site] += bytes;
    this.#calls[site] += calls;
  }

  /** Listens to every move; several may. Dispose to end: without a listener {@linkcode onMove} is null again. */
  listen(fn: (site: number, bytes: number) => void): Disposable {
    this.#listeners = [...this.#listeners, fn];
    this.#relisten();
    return {
      [Symbol.dispose]: () => {
        this.#listeners = this.#listeners.filter((f) => f !== fn);
        this.#relisten();
      },
    };
  }

  #relisten(): void {
    const list = this.#listeners;
    this.onMove = list.length === 0 ? null : (site, bytes) => list.forEach((fn) => fn(site, bytes));
  }

  /** The name of a site. */
  nameOf(site: number): string {
    return this.#names[site];
  }

  /** The kind of a site. */
  kindOf(site: number): CopyKind {
    return this.#kinds[site];
  }

  /** Bytes moved at the site `name` so far; 0 when nobody registered it. */
  bytesAt(name: string): number {
    const id = this.#names.indexOf(name);
    return id < 0 ? 0 : this.#bytes[id];
  }

  /** Bytes moved at all sites of a kind. */
  total(kind: CopyKind): number {
    let sum = 0;
    for (let i = 0; i < this.#names.length; i++) if (this.#kinds[i] === kind) sum += this.#bytes[i];
    return sum;
  }

  /** All sites as plain objects, in order of registration. */
  snapshot(): CopySite[] {
    return this.#names.map((name, i) => ({
      name,
      kind: this.#kinds[i],
      bytes: this.#bytes[i],
      calls: this.#calls[i],
    }));
  }

  /** Sets all counters to zero. */
  reset(): void {
    this.#bytes.fill(0);
    this.#calls.fill(0);
  }
}

function grow(old: Float64Array<ArrayBuffer>): Float64Array<ArrayBuffer> {
  const bigger = new Float64Array(old.length * 2);
  for (let i = 0; i < old.length; i++) bigger[i] = old[i];
  return bigger;
}
