/**
 * Packets that wait for a verdict of user code. Linux: net/netfilter/nf_queue.c, nfnetlink_queue.c.
 */
import { DROP, G_NF, type NetDevice, type SkBuff } from "../../../core/mod.ts";
import {
  NF_ACCEPT,
  NF_DROP,
  NF_REPEAT,
  NF_STOLEN,
  type NfHookState,
  type NfOkfn,
  type NfQueueEntry,
  type NfQueueHandler,
} from "./contract.ts";
import { type Hook, HookState, type NetfilterState, nfHookSlow } from "./hooks.ts";

/** Packets that wait at most. Linux: NFQNL_QMAX_DEFAULT. */
export const NF_QUEUE_MAX = 1024;

/** A packet that waits, and how it goes on. Netfilter owns its skb. */
export class QueueEntry implements NfQueueEntry {
  /** Number, from 1. */
  declare readonly id: number;
  /** The packet. */
  declare readonly skb: SkBuff;
  /** Its own copy of the hook state. */
  declare readonly state: NfHookState;
  /** Who queued it. */
  declare readonly hook: Hook;
  /** Where it goes on. */
  declare readonly okfn: NfOkfn<unknown>;
  /** With what. */
  declare readonly arg: unknown;

  /** Takes ownership of `skb`. */
  constructor(id: number, skb: SkBuff, state: NfHookState, hook: Hook, okfn: NfOkfn<unknown>, arg: unknown) {
    this.id = id;
    this.skb = skb;
    this.state = state;
    this.hook = hook;
    this.okfn = okfn;
    this.arg = arg;
  }

  /** Priority of the hook that queued it. */
  get priority(): number {
    return this.hook.priority;
  }

  /** Its name. */
  get by(): string {
    return this.hook.ops.name;
  }
}

/**
 * Linux: nf_queue(), net/netfilter/nf_queue.c. Without a handler, or with 1,024 waiting, the packet is dropped.
 *
 * Returns 0 in any case: the sender does not learn of it. Takes ownership of `skb`.
 */
export function nfQueue(
  st: NetfilterState,
  hook: number,
  skb: SkBuff,
  inDev: NetDevice | null,
  outDev: NetDevice | null,
  okfn: NfOkfn<unknown>,
  arg: unknown,
): number {
  const by = st.last!;
  if ((st.bus.mask & G_NF) !== 0) st.bus.hit(st.tpQueue, skb, hook, st.queue.size, by.ops);
  const handler = st.handler;
  if (handler === null || st.queue.size >= NF_QUEUE_MAX) {
    st.net.drop(skb, DROP.NF_QUEUE_FULL);
    return 0;
  }
  const state = new HookState(hook, st.net);
  state.in = inDev;
  state.out = outDev;
  const entry = new QueueEntry(++st.queueId, skb, state, by, okfn, arg);
  st.queue.add(entry);
  try {
    if (!handler.enqueue(entry)) drop(st, entry, DROP.NF_QUEUE_FULL);
  } catch (error) {
    st.net.pluginError(`queue handler ${handler.name}`, error);
    drop(st, entry, DROP.PLUGIN_ERROR);
  }
  return 0;
}

/** Answers a queued packet. Linux: nf_reinject(). An entry that was answered, or is of another net, is ignored. */
export function nfReinject(st: NetfilterState, entry: NfQueueEntry, verdict: number): void {
  const mine = entry as QueueEntry;
  if (!st.queue.has(mine)) return;
  st.net.machine.enter();
  if (verdict === NF_ACCEPT || verdict === NF_REPEAT) {
    st.queue.delete(mine);
    resume(st, mine, verdict === NF_REPEAT);
  } else if (verdict === NF_STOLEN) st.queue.delete(mine);
  else if (verdict === NF_DROP) drop(st, mine, DROP.NETFILTER_DROP);
  else {
    const who = `queue handler ${st.handler === null ? "?" : st.handler.name}`;
    st.net.pluginError(who, new TypeError(`answers ${verdict}, which is no verdict for a queued packet`));
    drop(st, mine, DROP.PLUGIN_ERROR);
  }
  st.net.machine.exit();
}

/** Goes on behind the hook that queued it in the list as it is now; `again`: with that hook, if it is still there. */
function resume(st: NetfilterState, entry: QueueEntry, again: boolean): void {
  const { skb, state, hook } = entry;
  const pool = st.pool;
  const list = st.lists[state.hook];
  let at = 0;
  while (at < list.length && isBefore(list[at], hook)) at++;
  if (!again && list[at] === hook) at++;
  if ((st.bus.mask & G_NF) !== 0) st.bus.hit(st.tpReinject, skb, state.hook, at, hook.ops);
  const outer = pool.currentId;
  pool.currentId = skb.id;
  nfHookSlow(st, list, at, state.hook, skb, state.in, state.out, entry.okfn, entry.arg);
  pool.currentId = outer;
}

function isBefore(a: Hook, b: Hook): boolean {
  return a.priority < b.priority || (a.priority === b.priority && a.seq < b.seq);
}

/** Sets the one handler and returns its undo; a second one is a TypeError. Linux: nf_register_queue_handler(). */
export function setQueueHandler(st: NetfilterState, handler: NfQueueHandler): () => void {
  if (st.handler !== null) {
    throw new TypeError(`Cannot register queue handler ${handler.name}: ${st.handler.name} is there`);
  }
  st.handler = handler;
  return () => {
    if (st.handler !== handler) return;
    st.handler = null;
    for (const entry of st.queue) drop(st, entry, DROP.PLUGIN_UNLOAD);
  };
}

/** A device goes down: what waits for it, or came from it, goes too. Linux: nfqnl_dev_drop(). */
export function dropQueuedOf(st: NetfilterState, dev: NetDevice): void {
  for (const entry of st.queue) {
    const { state, skb } = entry;
    if (state.in === dev || state.out === dev || skb.dev === dev) drop(st, entry, DROP.QUEUE_PURGE);
  }
}

/** The net ends. */
export function dropAllQueued(st: NetfilterState): void {
  for (const entry of st.queue) drop(st, entry, DROP.PLUGIN_UNLOAD);
}

function drop(st: NetfilterState, entry: QueueEntry, reason: number): void {
  if (st.queue.delete(entry)) st.net.drop(entry.skb, reason);
}
