/**
 * Netfilter's contract: hooks, verdicts, priorities, queueing. Linux: include/linux/netfilter.h,
 * include/uapi/linux/netfilter_ipv4.h.
 *
 * @module
 */
import type { Net, NetDevice, SkBuff, Token } from "../../../core/mod.ts";

/** The hook says: drop it; the caller frees it with a reason. */
export const NF_DROP = 0;
/** Go on. */
export const NF_ACCEPT = 1;
/** The hook owns it now. */
export const NF_STOLEN = 2;
/** Netfilter owns it until user code answers. */
export const NF_QUEUE = 3;
/** Call the same hook again; at most 16 times. */
export const NF_REPEAT = 4;

/** Before routing a received packet. */
export const NF_INET_PRE_ROUTING = 0;
/** Before local delivery. */
export const NF_INET_LOCAL_IN = 1;
/** Between input and output of a forwarded packet. */
export const NF_INET_FORWARD = 2;
/** Our own packet, routed. */
export const NF_INET_LOCAL_OUT = 3;
/** Before it leaves. */
export const NF_INET_POST_ROUTING = 4;
/** Names by hook number. */
export const NF_HOOK_NAMES: readonly string[] = ["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"];

/** Linux's priorities. Lower runs first. */
export const NF_IP_PRI = {
  FIRST: -2147483648,
  RAW_BEFORE_DEFRAG: -450,
  CONNTRACK_DEFRAG: -400,
  RAW: -300,
  SELINUX_FIRST: -225,
  CONNTRACK: -200,
  MANGLE: -150,
  NAT_DST: -100,
  FILTER: 0,
  SECURITY: 50,
  NAT_SRC: 100,
  SELINUX_LAST: 225,
  CONNTRACK_HELPER: 300,
  CONNTRACK_CONFIRM: 2147483647,
  LAST: 2147483647,
} as const;

/** Where a packet is when a hook sees it. One record per net and hook, reused: do not keep it. */
export interface NfHookState {
  /** NF_INET_*. */
  readonly hook: number;
  /** The net. */
  readonly net: Net;
  /** Device it came in by, or null. */
  in: NetDevice | null;
  /** Device it leaves by, or null. */
  out: NetDevice | null;
}

/** A hook. Linux: struct nf_hook_ops. */
export interface NfHookOps {
  /** Shown in leaks, errors and journeys. */
  readonly name: string;
  /** NF_INET_*. */
  readonly hook: number;
  /** NF_IP_PRI_*. Default FILTER (0). */
  readonly priority?: number;
  /**
   * The verdict. The headers up to IPv4's are linear. Borrows `skb`. After NF_STOLEN it owns it; an exception drops it.
   * Called without `this`, unless it is a method of a class.
   */
  readonly fn: (skb: SkBuff, state: NfHookState) => number;
}

/**
 * Where a packet goes on after the hooks: a static function and the state that it needs, never a closure.
 * Takes ownership of `skb`.
 */
export type NfOkfn<S> = (state: S, skb: SkBuff) => number;

/** A packet that waits for a verdict of user code. Netfilter owns its skb. Linux: struct nf_queue_entry. */
export interface NfQueueEntry {
  /** Number, from 1. */
  readonly id: number;
  /** The packet; look, do not free. */
  readonly skb: SkBuff;
  /** Its own copy of the hook state. */
  readonly state: NfHookState;
  /** Priority of the hook that queued it: it resumes behind that hook, or where that would be. */
  readonly priority: number;
  /** Name of the hook that queued it. */
  readonly by: string;
}

/**
 * Takes queued packets. Each is answered once by `reinject`, at any time: now, or after an `await`. On virtual time the
 * clock runs on while real work is done; `using hold = machine.hold()` keeps it still until the answer.
 */
export interface NfQueueHandler {
  /** Shown in errors. */
  readonly name: string;
  /** A packet was queued. False: the handler refuses, the packet is dropped. */
  enqueue(entry: NfQueueEntry): boolean;
}

/** Netfilter. */
export interface Netfilter {
  /** Hooks registered, by hook number: 0 lets the caller go on without a call. */
  readonly active: Int32Array;
  /**
   * Runs the hooks and then `okfn(state, skb)`. Returns what okfn returns, 0 for a packet that is stolen or queued, or
   * a negative errno (-EPERM) for a dropped one; one that a full queue refuses counts as queued, as in Linux.
   * Linux: NF_HOOK(). Takes ownership of `skb`.
   */
  run<S>(
    hook: number,
    skb: SkBuff,
    inDev: NetDevice | null,
    outDev: NetDevice | null,
    okfn: NfOkfn<S>,
    state: S,
  ): number;
  /** Adds a hook; returns its undo. Use {@linkcode nfRegisterNetHook}. */
  add(ops: NfHookOps): () => void;
  /** Sets the queue handler; returns its undo. Use {@linkcode nfRegisterQueueHandler}. */
  setQueueHandler(handler: NfQueueHandler): () => void;
  /** Answers a queued packet: NF_ACCEPT, NF_DROP, NF_REPEAT or NF_STOLEN. An unknown entry is ignored. Linux: nf_reinject(). */
  reinject(entry: NfQueueEntry, verdict: number): void;
  /** The hooks at a point, in order. */
  list(hook: number): readonly NfHookOps[];
  /** Packets that wait, of at most 1,024. */
  queued(): number;
}

/** Netfilter's token. */
export const NETFILTER: Token<Netfilter> = { name: "netpath:netfilter" };

/** Registers a hook. Linux: nf_register_net_hook(). */
export function nfRegisterNetHook(net: Net, ops: NfHookOps): Disposable {
  return net.registration(() => net.get(NETFILTER).add(ops));
}

/** Registers the one handler of queued packets. Linux: nf_register_queue_handler(). */
export function nfRegisterQueueHandler(net: Net, handler: NfQueueHandler): Disposable {
  return net.registration(() => net.get(NETFILTER).setQueueHandler(handler));
}
