/**
 * One end of a pair: its queue and its NAPI context.
 *
 * @module
 */
import { DROP, type EventBus, G_NET, IFF_UP, Napi, type Net, type NetDevice, SkbQueue } from "../../../core/mod.ts";
import { vethPoll } from "./input.ts";

/** Numbers of veth's tracepoints. */
export interface VethTracepoints {
  /** A packet is handed to the peer: `a` = bytes, `b` = packets that wait there; obj = the peer's device. */
  readonly xmit: number;
  /** The peer's NAPI takes it: `a` = bytes. */
  readonly poll: number;
}

/** One end. */
export class VethEnd {
  /** The net it is in. */
  declare readonly net: Net;
  /** The device. */
  declare readonly dev: NetDevice;
  /** The machine's tracepoints. */
  declare readonly bus: EventBus;
  /** Numbers of its tracepoints. */
  declare readonly tp: VethTracepoints;
  /** Packets from the peer that wait for {@linkcode napi}. Linux: xdp_ring. */
  readonly queue: SkbQueue = new SkbQueue();
  /** Polls the queue. */
  declare readonly napi: Napi;
  /** The other end; null once that is unregistered. */
  peer: VethEnd | null = null;
  /** NAPI knows that there is something: the peer does not say it again. Linux: rx_notify_masked. */
  notifyMasked = false;

  /** An end without a peer yet. */
  constructor(net: Net, dev: NetDevice) {
    this.net = net;
    this.dev = dev;
    const bus = net.machine.bus;
    this.bus = bus;
    this.tp = {
      xmit: bus.define({ name: "veth:veth_xmit", linux: "veth_xmit", group: G_NET }),
      poll: bus.define({ name: "veth:veth_poll", linux: "veth_poll", group: G_NET }),
    };
    this.napi = new Napi(net.machine, dev, (napi, budget) => vethPoll(this, napi, budget));
    this.napi.disable();
    dev.napis.push(this.napi);
    dev.carrier = false;
    dev.priv = this;
  }

  /** Comes up: there is a carrier when the peer is up too. Linux: veth_open(). */
  open(): number {
    const peer = this.peer;
    this.napi.enable();
    this.notifyMasked = false;
    this.dev.txq[0].stopped = false;
    if (peer !== null && (peer.dev.flags & IFF_UP) !== 0) {
      // NETDEV_UP, which follows, tells about our own.
      this.dev.carrier = true;
      peer.dev.setCarrier(true);
    }
    return 0;
  }

  /** Goes down: both lose the carrier, what waits here is dropped. Linux: veth_close(). */
  stop(): void {
    const peer = this.peer;
    this.dev.setCarrier(false);
    peer?.dev.setCarrier(false);
    this.napi.disable();
    this.purge();
  }

  /** Drops what waits for this end, and counts it. */
  purge(): void {
    for (let skb = this.queue.dequeue(); skb !== null; skb = this.queue.dequeue()) {
      this.dev.stats.rxDropped++;
      this.net.drop(skb, DROP.QUEUE_PURGE);
    }
  }
}
