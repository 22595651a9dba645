/**
 * Faults at any stage: what a lab does to packets, memory and calls because a test asked for it.
 */
import {
  ERRNO,
  type Machine,
  type Net,
  NETDEV_TX_BUSY,
  NETDEV_TX_OK,
  type NetDevice,
  netifRx,
  netifTxStopQueue,
  netifTxWakeQueue,
  type SkBuff,
  Timer,
} from "../../../core/mod.ts";
import { INET } from "../../network/inet/mod.ts";
import {
  NF_ACCEPT,
  NF_DROP,
  NF_INET_FORWARD,
  NF_INET_LOCAL_IN,
  NF_INET_LOCAL_OUT,
  NF_INET_POST_ROUTING,
  NF_INET_PRE_ROUTING,
  NF_IP_PRI,
  nfRegisterNetHook,
} from "../../network/netfilter/mod.ts";
import { SYSCALL, type Syscalls } from "../../socket/syscall/mod.ts";
import { parseTime } from "../../link/qdisc/mod.ts";
import { matches } from "./match.ts";
import type { PacketMatch } from "./packet.ts";
import { readPacket } from "./read.ts";
import { bytesOf } from "./record.ts";

/**
 * Where a fault is. Of a device: `xmit` (its driver's ndo_start_xmit), `ingress` (where the stack receives). Of a host: its
 * five netfilter hooks, `icmp_rcv`, `udp_rcv`, `tcp_v4_rcv`, and its system calls as `sys_sendmsg`. Of the machine:
 * `alloc_skb`, and `alloc_page`.
 */
export type FaultStage =
  | "xmit"
  | "ingress"
  | "prerouting"
  | "input"
  | "forward"
  | "output"
  | "postrouting"
  | "icmp_rcv"
  | "udp_rcv"
  | "tcp_v4_rcv"
  | "alloc_skb"
  | "alloc_page"
  | `sys_${Exclude<keyof Syscalls, "net" | "sock" | "onReady" | "getsockoptString" | "getsockoptBytes">}`;

/** What happens to a packet: see {@linkcode FaultOptions.effect}. */
export type FaultEffect = "drop" | "corrupt" | "duplicate" | "delay" | "busy";

/** A fault. */
export interface FaultOptions {
  /** Only packets that match. Default: all. Memory and calls have none. */
  match?: PacketMatch;
  /** So many go unharmed first. Default 0. */
  after?: number;
  /** It ends after so many. Default: when it is disposed. */
  times?: number;
  /** Probability, drawn from the machine's seeded randomness. Default 1. */
  probability?: number;
  /**
   * `drop` (the default); `corrupt`: one bit is flipped; `duplicate` and `delay` (stages `xmit`, `ingress` and `*_rcv`);
   * `busy` (stage `xmit`): the driver says NETDEV_TX_BUSY and wakes its queue a millisecond later.
   */
  effect?: FaultEffect;
  /** Which byte `corrupt` hits, from the packet's first one on; negative: from its end. Default -1. */
  byte?: number;
  /** How long `delay` takes, in whole milliseconds. Default 10ms. */
  delay?: string;
  /** What a call fails with. Default ENOBUFS. */
  errno?: keyof typeof ERRNO;
}

/** A fault that is in place; disposing it takes it away. */
export class Fault implements Disposable {
  /** How often it struck. */
  hits = 0;
  /** How often it could have. */
  chances = 0;
  /** The machine. */
  readonly machine: Machine;
  /** What it was told. */
  readonly options: FaultOptions;
  readonly #delayMs: number;
  readonly #ends: Disposable[] = [];
  readonly #held = new Map<SkBuff, Timer>();

  /** Use `lab.fault()`. */
  constructor(machine: Machine, options: FaultOptions) {
    this.machine = machine;
    this.options = options;
    this.#delayMs = Math.max(1, Math.ceil(parseTime(options.delay ?? "10ms", "delay") / 1e6));
  }

  /** Whether it strikes now. `skb`: the packet that it is about. Borrows `skb`. */
  strikes(skb: SkBuff | null, start = 0): boolean {
    const { match, after = 0, times = Infinity, probability = 1 } = this.options;
    if (this.hits >= times) return false;
    if (match !== undefined && skb !== null && !this.#matches(skb, start, match)) return false;
    if (this.chances++ < after) return false;
    if (probability < 1 && (this.machine.platform.random() >>> 0) / 0x100000000 >= probability) return false;
    this.hits++;
    return true;
  }

  #matches(skb: SkBuff, start: number, match: PacketMatch): boolean {
    const linked = start === skb.macHeader || start === skb.data && skb.networkHeader > skb.data;
    const ethernet = linked && skb.dev?.headerOps.hardHeaderLen === 14;
    const link = ethernet ? "ethernet" : skb.protocol === 0x0806 ? "arp" : "ip";
    return matches(readPacket(bytesOf(skb, start), { link }), match);
  }

  /** Something to undo. */
  onEnd(end: Disposable): void {
    this.#ends.push(end);
  }

  /** Holds a packet and gives it to `next` later. Takes ownership of `skb`. */
  hold(skb: SkBuff, next: (skb: SkBuff) => void): void {
    const { machine } = this;
    const timer = new Timer(() => {
      this.#held.delete(skb);
      next(skb);
    });
    this.#held.set(skb, timer);
    machine.enter();
    machine.modTimer(timer, this.#delayMs);
    machine.exit();
  }

  /** Takes it away; what it holds is freed. */
  [Symbol.dispose](): void {
    for (const end of this.#ends.splice(0).reverse()) end[Symbol.dispose]();
    for (const [skb, timer] of this.#held) {
      this.machine.delTimer(timer);
      skb.consume();
    }
    this.#held.clear();
  }
}

const HOOKS: Readonly<Record<string, number>> = {
  prerouting: NF_INET_PRE_ROUTING,
  input: NF_INET_LOCAL_IN,
  forward: NF_INET_FORWARD,
  output: NF_INET_LOCAL_OUT,
  postrouting: NF_INET_POST_ROUTING,
};
const PROTOCOLS: Readonly<Record<string, number>> = { icmp_rcv: 1, tcp_v4_rcv: 6, udp_rcv: 17 };

/** Puts a fault in place. A stage that is not there, or cannot do that, is a TypeError. */
export function putFault(
  machine: Machine,
  net: Net | null,
  dev: NetDevice | null,
  stage: FaultStage,
  options: FaultOptions,
): Fault {
  const fault = new Fault(machine, options);
  const { effect = "drop" } = options;
  const reason = machine.reasons.register({
    name: "FAULT_INJECTED",
    layer: "testing",
    text: "A test asked for it.",
    advice: "Look for lab.fault().",
  });
  if (stage === "alloc_skb" || stage === "alloc_page") failAllocation(fault, stage);
  else if (net === null) throw new TypeError(`Cannot put a fault at ${stage}: name a host`);
  else if (stage === "xmit" || stage === "ingress") {
    if (dev === null) throw new TypeError(`Cannot put a fault at ${stage}: name a device, such as ${net.name}:eth0`);
    if (stage === "xmit") failXmit(fault, net, dev, effect, reason);
    else failIngress(fault, net, dev, effect, reason);
  } else if (stage.startsWith("sys_")) failCall(fault, net, stage.slice(4) as keyof Syscalls);
  else if (stage in HOOKS) failHook(fault, net, HOOKS[stage], stage, effect);
  else if (stage in PROTOCOLS) failProtocol(fault, net, PROTOCOLS[stage], stage, effect, reason);
  else throw new TypeError(`Cannot put a fault at "${stage}": there is no such stage`);
  return fault;
}

function refuse(stage: string, effect: string, can: string): never {
  throw new TypeError(`Cannot ${effect} at ${stage}: it can ${can}`);
}

/** Flips a bit of a packet's own copy of the byte. False: no memory. Borrows `skb`. */
function corrupt(skb: SkBuff, byte: number): boolean {
  if (!skb.linearize() || !skb.cowHead(0)) return false;
  const ip = skb.networkHeader;
  // Behind a short datagram a frame has padding, whose bits do not matter.
  const sized = skb.protocol === 0x0800 && ip >= skb.head && ip + 20 <= skb.tail;
  const end = sized ? Math.min(skb.tail, ip + skb.view.getUint16(ip + 2)) : skb.tail;
  const at = byte < 0 ? end + byte : skb.data + byte;
  if (at >= skb.data && at < skb.tail) skb.bytes[at] ^= 1;
  return true;
}

/** A copy of all bytes, headers that were pulled off included; null: no memory. Borrows `skb`. */
function twinOf(skb: SkBuff): SkBuff | null {
  const first = skb.macHeader >= skb.head ? skb.macHeader : skb.networkHeader;
  const pulled = first < skb.head ? 0 : Math.max(0, skb.data - first);
  skb.push(pulled);
  const twin = skb.copy();
  skb.pull(pulled);
  twin?.pull(pulled);
  return twin;
}

/**
 * What a stage that owns a packet does with it; `next` goes on. Takes ownership of `skb`.
 */
function act(
  fault: Fault,
  net: Net,
  skb: SkBuff,
  effect: FaultEffect,
  reason: number,
  next: (skb: SkBuff) => void,
): void {
  if (effect === "drop") return net.drop(skb, reason);
  if (effect === "delay") return fault.hold(skb, next);
  if (effect === "duplicate") {
    const twin = twinOf(skb);
    if (twin !== null) next(twin);
  } else corrupt(skb, fault.options.byte ?? -1);
  next(skb);
}

function failXmit(fault: Fault, net: Net, dev: NetDevice, effect: FaultEffect, reason: number): void {
  fault.onEnd(net.wrapDevice(dev, (ops) => ({
    ...ops,
    startXmit: (skb, device, more) => {
      if (!fault.strikes(skb, skb.data)) return ops.startXmit(skb, device, more);
      if (effect === "busy") return busy(fault, device);
      act(fault, net, skb, effect, reason, (one) => {
        if (ops.startXmit(one, device, false) !== NETDEV_TX_OK) net.drop(one, reason);
      });
      return NETDEV_TX_OK;
    },
  })));
}

function busy(fault: Fault, dev: NetDevice): number {
  const { machine } = fault;
  const txq = dev.txq[0];
  netifTxStopQueue(txq);
  machine.modTimer(new Timer(() => netifTxWakeQueue(txq)), 1);
  return NETDEV_TX_BUSY;
}

function failIngress(fault: Fault, net: Net, dev: NetDevice, effect: FaultEffect, reason: number): void {
  if (effect === "busy") refuse("ingress", effect, "drop, corrupt, duplicate or delay");
  const before = dev.ingress;
  // They come back as they came, behind the link header, by the backlog.
  const back = new WeakSet<SkBuff>();
  const again = (skb: SkBuff): void => {
    back.add(skb);
    netifRx(skb);
  };
  const own = (skb: SkBuff): number => {
    if (!back.delete(skb) && fault.strikes(skb, skb.macHeader)) {
      if (effect === "drop" || effect === "delay") {
        if (effect === "delay") fault.hold(skb, again);
        else net.drop(skb, reason);
        return 1;
      }
      const twin = effect === "duplicate" ? twinOf(skb) : null;
      if (twin !== null) again(twin);
      if (effect === "corrupt") corrupt(skb, fault.options.byte ?? -1);
    }
    return before === null ? 0 : before(skb);
  };
  dev.ingress = own;
  fault.onEnd({
    [Symbol.dispose]: () => {
      if (dev.ingress === own) dev.ingress = before;
    },
  });
}

function failHook(fault: Fault, net: Net, hook: number, stage: string, effect: FaultEffect): void {
  if (effect !== "drop" && effect !== "corrupt") refuse(stage, effect, "drop or corrupt");
  fault.onEnd(nfRegisterNetHook(net, {
    name: `fault:${stage}`,
    hook,
    priority: NF_IP_PRI.FILTER,
    fn: (skb) => {
      if (!fault.strikes(skb, skb.networkHeader)) return NF_ACCEPT;
      if (effect === "drop" || !corrupt(skb, fault.options.byte ?? -1)) return NF_DROP;
      return NF_ACCEPT;
    },
  }));
}

function failProtocol(
  fault: Fault,
  net: Net,
  protocol: number,
  stage: string,
  effect: FaultEffect,
  reason: number,
): void {
  if (effect === "busy") refuse(stage, effect, "drop, corrupt, duplicate or delay");
  const handler = net.get(INET).protocols[protocol];
  if (handler === null) throw new TypeError(`Cannot put a fault at ${stage}: ${net.name} has no such protocol`);
  const before = handler.rcv;
  handler.rcv = (skb) => {
    if (fault.strikes(skb, skb.networkHeader)) act(fault, net, skb, effect, reason, (one) => before.call(handler, one));
    else before.call(handler, skb);
  };
  fault.onEnd({ [Symbol.dispose]: () => void (handler.rcv = before) });
}

function failAllocation(fault: Fault, stage: "alloc_skb" | "alloc_page"): void {
  const { skbs, pages } = fault.machine;
  if (stage === "alloc_skb") {
    skbs.alloc = (size: number, truesize?: number) =>
      fault.strikes(null) ? null : Object.getPrototypeOf(skbs).alloc.call(skbs, size, truesize);
    fault.onEnd({ [Symbol.dispose]: () => Reflect.deleteProperty(skbs, "alloc") });
  } else {
    pages.alloc = (cls: number) => fault.strikes(null) ? -1 : Object.getPrototypeOf(pages).alloc.call(pages, cls);
    fault.onEnd({ [Symbol.dispose]: () => Reflect.deleteProperty(pages, "alloc") });
  }
}

function failCall(fault: Fault, net: Net, name: keyof Syscalls): void {
  const sys = net.get(SYSCALL) as unknown as Record<string, unknown>;
  const before = sys[name];
  if (typeof before !== "function") throw new TypeError(`Cannot put a fault at sys_${name}: there is no such call`);
  const errno = -ERRNO[fault.options.errno ?? "ENOBUFS"];
  sys[name] = (...args: unknown[]) => fault.strikes(null) ? errno : before(...args);
  fault.onEnd({ [Symbol.dispose]: () => void (sys[name] = before) });
}
