/**
 * ARP: asks who has a next hop, answers who asks for us, and learns as much as Linux learns. RFC 826, RFC 5227;
 * Linux: net/ipv4/arp.c.
 *
 * Receive: `input.ts`. Questions, answers and announcements: `output.ts`. States, timers and parked packets are the
 * business of `neigh`, which calls `solicit`, `errorReport` and `construct` here. Of the settings of a device
 * `arp_ignore`, `arp_announce`, `arp_filter`, `arp_accept`, `arp_notify` and `proxy_arp` are obeyed.
 *
 * One thing differs: a zero or group address as the sender's MAC is not learnt, see {@linkcode ArpOptions}.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { Machine } from "@netpath/stack/core";
 * import { ethernet } from "@netpath/stack/ethernet";
 * import { inet } from "@netpath/stack/inet";
 * import { DEVINET, devinet } from "@netpath/stack/devinet";
 * import { NEIGH, neigh, NUD_STALE } from "@netpath/stack/neigh";
 * import { fib } from "@netpath/stack/fib";
 * import { arp } from "@netpath/stack/arp";
 *
 * using machine = new Machine();
 * const net = machine.createNet({ plugins: [ethernet(), inet(), devinet(), neigh(), fib(), arp()] });
 * const answers: string[] = [];
 * const dev = net.registerNetdev("eth0", {
 *   startXmit(skb) {
 *     answers.push(skb.bytes.slice(skb.data, skb.tail).toHex());
 *     skb.consume();
 *     return 0;
 *   },
 * }, { address: "02:00:00:00:00:01" });
 * net.get(DEVINET).addAddress(dev, "10.0.0.1/24");
 *
 * // 10.0.0.2 asks for 10.0.0.1: it is answered, and known from now on.
 * const request = "ffffffffffff020000000002" + "0806" + "0001080006040001" +
 *   "0200000000020a000002" + "0000000000000a000001";
 * dev.receive(Uint8Array.fromHex(request));
 * assertEquals(answers, [
 *   "020000000002020000000001" + "0806" + "0001080006040002" + "0200000000010a000001" + "0200000000020a000002",
 * ]);
 * assertEquals(net.get(NEIGH).lookup(dev, 0x0a000002)?.nudState, NUD_STALE);
 * ```
 *
 * @module
 */
import { devAddPack, type Net, type NetdevEvent, type Plugin } from "../../../core/mod.ts";
import { ETH_P_ARP } from "../../link/ethernet/header.ts";
import { INET } from "../inet/contract.ts";
import { DEVINET, inDevGet, type InetaddrEvent } from "../devinet/contract.ts";
import { NEIGH } from "../neigh/contract.ts";
import { FIB } from "../fib/contract.ts";
import { ARP, type ArpOptions } from "./contract.ts";
import { arpProcess, arpRcv } from "./input.ts";
import { arpAnnounce, arpConstruct, arpErrorReport, arpSend, arpSolicit } from "./output.ts";
import { ArpState, proxyPurge } from "./state.ts";

export * from "./contract.ts";
export * from "./header.ts";

/** ARP for the devices of a net. */
export function arp(options: ArpOptions = {}): Plugin {
  return {
    name: "arp",
    api: 1,
    requires: [INET, DEVINET, NEIGH, FIB],
    provides: [ARP],
    setup(net) {
      const st = net.state("arp:state", () => new ArpState(net));
      net.registration(() => {
        st.learnAnySender = options.learnAnySender ?? false;
        st.proxyRedo = (skb) => arpProcess(st, skb, skb.dev!, true);
        return () => {};
      });
      net.provide(ARP, {
        send: (op, dev, destIp, srcIp, dstHi, dstLo, srcHi, srcLo, thaHi, thaLo) => {
          net.machine.enter();
          arpSend(st, op, dev, destIp, srcIp, dstHi, dstLo, srcHi, srcLo, thaHi, thaLo);
          net.machine.exit();
        },
        announce: (dev) => announce(st, dev),
        stats: st.stats,
      });
      registerBelow(net, st);
    },
  };
}

/** Fills the tables below: neighbours, packet types, notifiers. */
function registerBelow(net: Net, st: ArpState): void {
  net.registration(() =>
    st.neigh.setSolicit({
      solicit: (neigh, skb) => arpSolicit(st, neigh, skb),
      errorReport: (_neigh, skb) => arpErrorReport(st, skb),
      construct: (neigh) => arpConstruct(st, neigh),
    })
  );
  devAddPack(net, { type: ETH_P_ARP, dev: null, func: (skb, dev) => arpRcv(st, skb, dev) });
  net.registration(() => {
    // After devinet and fib: what is announced must be there.
    const devices = net.netdevChain.register((event) => netdevEvent(st, event), -10);
    const addresses = st.devinet.chain.register((event) => inetaddrEvent(st, event), -10);
    return () => {
      addresses[Symbol.dispose]();
      devices[Symbol.dispose]();
    };
  });
}

/** One entry for all frames. Linux: inetdev_send_gratuitous_arp(). */
function announce(st: ArpState, dev: NetdevEvent["dev"]): void {
  st.machine.enter();
  arpAnnounce(st, dev);
  st.machine.exit();
}

/** With arp_notify the link is told when a device comes up or changes its MAC. Linux: inetdev_event(). */
function netdevEvent(st: ArpState, event: NetdevEvent): void {
  const { kind, dev } = event;
  if (kind === "NETDEV_DOWN") proxyPurge(st, dev.ifindex);
  const tells = kind === "NETDEV_UP" || (kind === "NETDEV_CHANGEADDR" && dev.running);
  if (tells && inDevGet(dev)?.conf.arpNotify) announce(st, dev);
}

/** With its last address a device loses its neighbours. Linux: fib_disable_ip(), arp_ifdown(). */
function inetaddrEvent(st: ArpState, event: InetaddrEvent): void {
  const dev = event.ifa.dev;
  if (event.kind === "NETDEV_DOWN" && (inDevGet(dev)?.ifaList.length ?? 0) === 0) st.neigh.flush(dev, true);
}
