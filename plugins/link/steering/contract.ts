/**
 * Packet steering: which CPU receives a packet, and by which queue one is sent. Linux:
 * Documentation/networking/scaling.rst (RPS, XPS), /sys/class/net/DEV/queues, /sys/class/net/DEV/threaded.
 *
 * @module
 */
import type { NetDevice, SkBuff, Token } from "../../../core/mod.ts";

/** What is set per device. CPUs and queues are numbers from 0; one that is not there is a RangeError. */
export interface Steering {
  /**
   * The CPUs that receive what comes in by a receive queue; none: the one that polls it. A flow stays on one of them, and
   * keeps its order when they change. Linux: /sys/class/net/DEV/queues/rx-N/rps_cpus.
   */
  setRpsCpus(dev: NetDevice, queue: number, cpus: readonly number[]): void;
  /** What was set. */
  rpsCpus(dev: NetDevice, queue: number): readonly number[];
  /**
   * The CPUs whose packets leave by a transmit queue. A CPU that no queue names takes one by the flow's hash; what a
   * connected socket has chosen stays. Linux: /sys/class/net/DEV/queues/tx-N/xps_cpus.
   */
  setXpsCpus(dev: NetDevice, queue: number, cpus: readonly number[]): void;
  /** What was set. */
  xpsCpus(dev: NetDevice, queue: number): readonly number[];
  /**
   * The device's NAPI contexts are polled by threads of their own, each in turns of the event loop that it does not share
   * with softirqs; nothing is lost at the change. Linux: dev_set_threaded(), /sys/class/net/DEV/threaded.
   */
  setThreaded(dev: NetDevice, on: boolean): void;
  /** The transmit queue for a packet: by socket, XPS, receive queue or hash. Borrows `skb`. Linux: netdev_pick_tx(). */
  netdevPickTx(skb: SkBuff, dev: NetDevice): number;
  /** The packet's flow, the same in both directions; what a NIC has hashed is kept. Borrows `skb`. Linux: skb_get_hash(). */
  skbGetHash(skb: SkBuff): number;
}

/** Its token. */
export const STEERING: Token<Steering> = { name: "netpath:steering" };
