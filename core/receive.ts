/**
 * Where a packet enters the stack. Linux: net/core/dev.c, __netif_receive_skb_core(), netif_rx(), process_backlog().
 */
import type { Net } from "./net.ts";
import { IFF_UP, type NetDevice, RX_HANDLER_ANOTHER, RX_HANDLER_CONSUMED, type TapFn } from "./net_device.ts";
import type { SkBuff } from "./sk_buff.ts";
import type { Cpu } from "./softirq.ts";
import * as dropReason from "./drop_reason.ts";
import * as eventBus from "./event_bus.ts";
import * as plugin from "./plugin.ts";

// Constants of the module's own are folded into machine code; an imported binding is loaded and checked at each use.
const { guarded, runTaps } = plugin;
const { DROP } = dropReason;
const { G_NET, TP_NETIF_RECEIVE_SKB, TP_NETIF_RX } = eventBus;

/** A handler of an EtherType. Linux: struct packet_type. */
export interface PacketType {
  /** EtherType in host order. */
  readonly type: number;
  /** Only this device, or all. */
  readonly dev: NetDevice | null;
  /** Shown when it throws. Default: its number. */
  readonly name?: string;
  /** Receives; `data` is at the network header. Takes ownership of `skb`. */
  readonly func: (skb: SkBuff, dev: NetDevice) => void;
}

/** Packet types of a net, compiled: at index `type & 15` the handlers of that bucket. */
export class PacketTypeTable {
  /** Handlers by `type & 15`. */
  readonly buckets: (readonly PacketType[])[] = Array.from({ length: 16 }, () => []);
  /** Taps of all devices. */
  taps: readonly TapFn[] = [];

  /** Adds a handler. Linux: dev_add_pack(). */
  add(pt: PacketType): () => void {
    const i = pt.type & 15;
    this.buckets[i] = [...this.buckets[i], pt];
    return () => {
      this.buckets[i] = this.buckets[i].filter((p) => p !== pt);
    };
  }
}

/** Registers a handler for an EtherType. Linux: dev_add_pack(), net/core/dev.c. */
export function devAddPack(net: Net, pt: PacketType): Disposable {
  return net.registration(() => net.ptypes.add(pt));
}

/**
 * Hands up a packet whose link header has been read: on this CPU, or through the backlog of the one that packet steering
 * chose. Linux: netif_receive_skb(), net/core/dev.c. Takes ownership of `skb`.
 */
export function netifReceiveSkb(skb: SkBuff): void {
  const rps = skb.dev!.rps;
  const cpu = rps === null ? null : rps(skb);
  if (cpu === null) netifReceiveSkbCore(skb);
  else enqueueToBacklog(skb, cpu);
}

/**
 * Delivers it: taps, the netdev hook, the device's handler, the packet type. Linux: __netif_receive_skb_core().
 * Takes ownership of `skb`.
 */
export function netifReceiveSkbCore(skb: SkBuff): void {
  const dev = skb.dev!;
  const net = dev.net;
  const pool = skb.pool;
  const outer = pool.currentId;
  pool.currentId = skb.id;
  net.machine.cpu.processed++;
  skb.networkHeader = skb.data;
  skb.macLen = skb.data - skb.macHeader;
  skb.skbIif = dev.ifindex;
  if ((net.machine.bus.mask & G_NET) !== 0) net.machine.bus.hit(TP_NETIF_RECEIVE_SKB, skb, skb.len, 0, dev);
  if (net.ptypes.taps.length !== 0 || dev.taps.length !== 0) runTaps(skb, dev, false);
  if (dev.ingress === null || guarded(dev.ingress, skb, dev, "netdev hook") === 0) {
    if (dev.rxHandler === null || handleRx(skb, dev)) deliver(skb, dev, net);
  }
  pool.currentId = outer;
}

/** Whether the packet goes on to the packet types. */
function handleRx(skb: SkBuff, dev: NetDevice): boolean {
  const verdict = guarded(dev.rxHandler!, skb, dev, "rx handler");
  if (verdict < 0 || verdict === RX_HANDLER_CONSUMED) return false;
  if (verdict !== RX_HANDLER_ANOTHER) return true;
  netifReceiveSkbCore(skb);
  return false;
}

function deliver(skb: SkBuff, dev: NetDevice, net: Net): void {
  const type = skb.protocol;
  const bucket = net.ptypes.buckets[type & 15];
  let last: PacketType | null = null;
  for (let i = 0; i < bucket.length; i++) {
    const pt = bucket[i];
    if (pt.type !== type || (pt.dev !== null && pt.dev !== dev)) continue;
    if (last !== null) {
      const twin = skb.clone();
      if (twin !== null) call(last, twin, dev);
      else dev.stats.rxDropped++;
    }
    last = pt;
  }
  if (last !== null) return call(last, skb, dev);
  dev.stats.rxDropped++;
  net.drop(skb, DROP.UNHANDLED_PROTO);
}

function call(pt: PacketType, skb: SkBuff, dev: NetDevice): void {
  try {
    pt.func(skb, dev);
  } catch (error) {
    dev.net.pluginError(pt.name ?? `the handler of EtherType 0x${pt.type.toString(16)}`, error);
    if (skb.live !== 0) dev.net.drop(skb, DROP.PLUGIN_ERROR);
  }
}

/**
 * Queues a packet on a backlog, the CPU's unless packet steering chose another; the next softirq receives it. False: the
 * backlog was full and it was dropped. Linux: netif_rx(). Takes ownership of `skb`.
 */
export function netifRx(skb: SkBuff): boolean {
  const { net, rps } = skb.dev!;
  const machine = net.machine;
  if ((machine.bus.mask & G_NET) !== 0) machine.bus.hit(TP_NETIF_RX, skb, skb.len, 0, skb.dev);
  return enqueueToBacklog(skb, (rps === null ? null : rps(skb)) ?? machine.cpu);
}

/** Linux: enqueue_to_backlog(). False: dropped. Takes ownership of `skb`. */
function enqueueToBacklog(skb: SkBuff, cpu: Cpu): boolean {
  const dev = skb.dev!;
  const machine = dev.net.machine;
  const up = (dev.flags & IFF_UP) !== 0;
  if (!up || cpu.backlog.qlen >= machine.maxBacklog) {
    if (up) cpu.dropped++;
    dev.stats.rxDropped++;
    dev.net.drop(skb, up ? DROP.CPU_BACKLOG : DROP.DEV_READY);
    return false;
  }
  cpu.backlog.enqueue(skb);
  if (cpu.backlogNapi!.schedule() && cpu !== machine.cpu) cpu.receivedRps++;
  return true;
}
