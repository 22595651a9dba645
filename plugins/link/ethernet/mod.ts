/**
 * Ethernet: reads and strips the link header of received frames, and pushes it on frames that are sent.
 * Linux: net/ethernet/eth.c.
 *
 * It fills the header operations of the device types Ethernet and loopback. The trailer (FCS) is the hardware's, and so
 * is the padding of short frames: see `padTo()` of the skb pool.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { Machine, PACKET_OTHERHOST } from "@netpath/stack/core";
 * import { ethernet } from "@netpath/stack/ethernet";
 *
 * using machine = new Machine();
 * const net = machine.createNet({ plugins: [ethernet()] });
 * const dev = net.registerNetdev("eth0", { startXmit: () => 0 });
 *
 * const skb = machine.skbs.alloc(128)!;
 * skb.dev = dev;
 * skb.put(60);
 * assertEquals(dev.headerOps.parse(skb, dev), 0);
 * assertEquals([skb.len, skb.pktType], [46, PACKET_OTHERHOST]);
 * skb.consume();
 * ```
 *
 * @module
 */
import {
  ARPHRD_ETHER,
  ARPHRD_LOOPBACK,
  G_LINK,
  type HeaderOps,
  type NetDevice,
  type Plugin,
  type SkBuff,
} from "../../../core/mod.ts";
import { ETHERNET } from "./contract.ts";
import { ETH_HLEN } from "./header.ts";
import { type EthState, ethTypeTrans } from "./input.ts";
import { ethHeader } from "./output.ts";

export * from "./contract.ts";
export * from "./header.ts";

/** The record with its state: one function for all nets is known to V8 by identity, a closure per net is not. */
interface EthOps extends HeaderOps {
  readonly st: EthState;
}

function create(
  this: EthOps,
  skb: SkBuff,
  dev: NetDevice,
  type: number,
  dstHi: number,
  dstLo: number,
  srcHi: number,
  srcLo: number,
): boolean {
  return ethHeader(this.st, skb, dev, type, dstHi, dstLo, srcHi, srcLo);
}

function parse(this: EthOps, skb: SkBuff, dev: NetDevice): number {
  return ethTypeTrans(this.st, skb, dev);
}

/** Ethernet for the devices of a net. */
export function ethernet(): Plugin {
  return {
    name: "ethernet",
    api: 1,
    provides: [ETHERNET],
    setup(net) {
      const bus = net.machine.bus;
      const st: EthState = {
        bus,
        tp: {
          typeTrans: bus.define({ name: "eth:eth_type_trans", linux: "eth_type_trans", group: G_LINK }),
          header: bus.define({ name: "eth:eth_header", linux: "eth_header", group: G_LINK }),
        },
      };
      const ops: EthOps = { hardHeaderLen: ETH_HLEN, create, parse, st };
      net.registerHeaderOps(ARPHRD_ETHER, ops);
      net.registerHeaderOps(ARPHRD_LOOPBACK, ops);
      net.provide(ETHERNET, { ops });
    },
  };
}
