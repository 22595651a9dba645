/**
 * The hooks of a net: who is asked, in which order, and what the answer means. Linux: net/netfilter/core.c.
 */
import type { EventBus, Net, NetDevice, SkbPool, SkBuff } from "../../../core/mod.ts";
import * as core from "../../../core/mod.ts";
import type { NfHookOps, NfHookState, NfOkfn, NfQueueHandler } from "./contract.ts";
import * as netfilter from "./contract.ts";
import type { QueueEntry } from "./queue.ts";
import * as queue from "./queue.ts";

// Constants of the module's own are folded into machine code; an imported binding is loaded and checked at each use.
const { DROP, ERRNO, G_NF } = core;
const { NF_ACCEPT, NF_DROP, NF_HOOK_NAMES, NF_INET_POST_ROUTING, NF_QUEUE, NF_REPEAT, NF_STOLEN } = netfilter;
const { nfQueue } = queue;

/** How often in a row a hook may answer NF_REPEAT. Linux has no limit. */
export const NF_REPEAT_MAX = 16;
/** The hook threw, or answered what is no verdict: its packet is dropped. */
const NF_FAULT = -1;

/** A registered hook: one shape, whatever the user's record looks like. */
export class Hook {
  /** The user's record. */
  declare readonly ops: NfHookOps;
  /** Its function; a method of a class keeps its `this`. */
  declare readonly fn: NfHookOps["fn"];
  /** NF_IP_PRI_*. */
  declare readonly priority: number;
  /** Order of registration: decides among equal priorities. */
  declare readonly seq: number;
  /** For errors and leaks: `hook NAME`. */
  declare readonly label: string;

  /** The `seq`-th hook of its net. */
  constructor(ops: NfHookOps, seq: number) {
    this.ops = ops;
    this.fn = Object.hasOwn(ops, "fn") ? ops.fn : ops.fn.bind(ops);
    this.priority = ops.priority ?? 0;
    this.seq = seq;
    this.label = `hook ${ops.name}`;
  }
}

/** What hooks are shown. */
export class HookState implements NfHookState {
  /** NF_INET_*. */
  declare readonly hook: number;
  /** The net. */
  declare readonly net: Net;
  /** Device it came in by. */
  in: NetDevice | null = null;
  /** Device it leaves by. */
  out: NetDevice | null = null;

  /** Of one hook point. */
  constructor(hook: number, net: Net) {
    this.hook = hook;
    this.net = net;
  }
}

/** Netfilter's state: it belongs to the net's slot and outlives a swap of the plugin. */
export class NetfilterState {
  /** The net. */
  declare readonly net: Net;
  /** Traces. */
  declare readonly bus: EventBus;
  /** For `holder` in debug. */
  declare readonly pool: SkbPool;
  /** Hooks by hook number; a list is never changed, it is replaced. */
  readonly lists: (readonly Hook[])[] = [];
  /** Their lengths. */
  declare readonly active: Int32Array;
  /** One record per hook point; a hook that sends a packet finds it as it was. */
  readonly states: HookState[] = [];
  /** The hook that ended the last iteration. */
  last: Hook | null = null;
  /** Hooks registered so far. */
  seq: number = 0;
  /** Packets that wait for an answer. */
  readonly queue: Set<QueueEntry> = new Set();
  /** Who answers. */
  handler: NfQueueHandler | null = null;
  /** Entries made so far. */
  queueId: number = 0;
  /** Tracepoint. */
  declare readonly tpSlow: number;
  /** Tracepoint. */
  declare readonly tpHook: number;
  /** Tracepoint. */
  declare readonly tpQueue: number;
  /** Tracepoint. */
  declare readonly tpReinject: number;

  /** No hooks yet. */
  constructor(net: Net) {
    const bus = net.machine.bus;
    this.net = net;
    this.bus = bus;
    this.pool = net.machine.skbs;
    this.active = new Int32Array(NF_HOOK_NAMES.length);
    for (let hook = 0; hook <= NF_INET_POST_ROUTING; hook++) {
      this.lists.push([]);
      this.states.push(new HookState(hook, net));
    }
    this.tpSlow = bus.define({ name: "nf:nf_hook_slow", linux: "nf_hook_slow", group: G_NF });
    this.tpHook = bus.define({ name: "nf:nf_hook_entry_hookfn", linux: "nf_hook_entry_hookfn", group: G_NF });
    this.tpQueue = bus.define({ name: "nf:nf_queue", linux: "nf_queue", group: G_NF });
    this.tpReinject = bus.define({ name: "nf:nf_reinject", linux: "nf_reinject", group: G_NF });
  }
}

/** Adds a hook and returns its undo; a record that is no hook is a TypeError. Linux: nf_register_net_hook(). */
export function addHook(st: NetfilterState, ops: NfHookOps): () => void {
  const { name, hook, priority = 0, fn } = ops;
  if (typeof name !== "string" || name === "") throw new TypeError("Cannot register a hook without a name");
  if (typeof fn !== "function") throw new TypeError(`Cannot register hook ${name}: fn is not a function`);
  if (NF_HOOK_NAMES[hook] === undefined) {
    throw new TypeError(
      `Cannot register hook ${name}: hook ${hook} is not NF_INET_PRE_ROUTING (0) to POST_ROUTING (4)`,
    );
  }
  if ((priority | 0) !== priority) {
    throw new TypeError(`Cannot register hook ${name}: priority ${priority} is no int32`);
  }
  const mine = new Hook(ops, st.seq++);
  setList(st, hook, [...st.lists[hook], mine].sort((a, b) => a.priority - b.priority || a.seq - b.seq));
  return () => setList(st, hook, st.lists[hook].filter((h) => h !== mine));
}

function setList(st: NetfilterState, hook: number, list: readonly Hook[]): void {
  st.lists[hook] = list;
  st.active[hook] = list.length;
}

/**
 * Linux: nf_hook_slow(), net/netfilter/core.c. Asks the hooks of `list` from index `from` on, then goes on to `okfn`.
 *
 * Returns what okfn returns; 0: stolen or queued; -EPERM: dropped. Takes ownership of `skb`.
 */
export function nfHookSlow<S>(
  st: NetfilterState,
  list: readonly Hook[],
  from: number,
  hook: number,
  skb: SkBuff,
  inDev: NetDevice | null,
  outDev: NetDevice | null,
  okfn: NfOkfn<S>,
  arg: S,
): number {
  if ((st.bus.mask & G_NF) !== 0) st.bus.hit(st.tpSlow, skb, hook, list.length - from, st.net);
  const state = st.states[hook];
  // A hook that sends a packet comes by here again before its own answer: what it was shown must still stand.
  const outerIn = state.in;
  const outerOut = state.out;
  state.in = inDev;
  state.out = outDev;
  const verdict = nfIterate(st, list, from, skb, state);
  state.in = outerIn;
  state.out = outerOut;
  if (verdict === NF_ACCEPT) return okfn(arg, skb);
  if (verdict === NF_STOLEN) return 0;
  if (verdict === NF_QUEUE) return nfQueue(st, hook, skb, inDev, outDev, okfn as NfOkfn<unknown>, arg);
  if (verdict === NF_DROP) st.net.drop(skb, DROP.NETFILTER_DROP);
  else if (skb.live !== 0) st.net.drop(skb, DROP.PLUGIN_ERROR);
  return -ERRNO.EPERM;
}

/** Linux: nf_iterate(). Returns NF_ACCEPT when all accepted; else `st.last` is who did not. Borrows `skb`. */
function nfIterate(st: NetfilterState, list: readonly Hook[], from: number, skb: SkBuff, state: HookState): number {
  const id = skb.id;
  const debug = st.pool.debug;
  let repeats = 0;
  let i = from;
  try {
    while (i < list.length) {
      const h = list[i];
      const fn = h.fn;
      if (debug) skb.holder = h.label;
      const verdict = fn(skb, state);
      if ((st.bus.mask & G_NF) !== 0) st.bus.hit(st.tpHook, stillHere(skb, id), state.hook, verdict, h.ops);
      if (verdict === NF_ACCEPT) {
        repeats = 0;
        i++;
      } else if (verdict !== NF_REPEAT || ++repeats > NF_REPEAT_MAX) {
        st.last = h;
        return verdict === NF_DROP || verdict === NF_STOLEN || verdict === NF_QUEUE ? verdict : bad(st, h, verdict);
      }
    }
  } catch (error) {
    st.net.pluginError(list[i].label, error);
    return NF_FAULT;
  }
  return NF_ACCEPT;
}

/** A packet that was stolen may be gone, or its buffer be another packet's. Borrows `skb`. */
function stillHere(skb: SkBuff, id: number): SkBuff | null {
  return skb.live !== 0 && skb.id === id ? skb : null;
}

function bad(st: NetfilterState, h: Hook, verdict: number): number {
  const what = verdict === NF_REPEAT ? `answers NF_REPEAT more than ${NF_REPEAT_MAX} times` : `answers ${verdict}`;
  st.net.pluginError(h.label, new TypeError(`${what}, which is no verdict`));
  return NF_FAULT;
}
