/**
 * ICMP: answers echo and timestamp requests, hands errors to the protocol whose packet they quote, and sends the errors
 * that every other stage asks for through `inet.icmpSend`. RFC 792, RFC 1122 section 3.2.2, RFC 1812 section 4.3.
 *
 * An error is never sent about an error, a broadcast, a fragment but the first; and never more than the limits allow
 * (`limit.ts`). Without this plugin a net is mute: packets are dropped all the same, and nobody is told.
 *
 * @example A host that answers pings, over a device without link header
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { IFF_NOARP, Machine } from "@netpath/stack/core";
 * import { arp } from "@netpath/stack/arp";
 * import { DEVINET, devinet } from "@netpath/stack/devinet";
 * import { fib } from "@netpath/stack/fib";
 * import { ICMP_ECHO, ICMP_ECHOREPLY, icmp } from "@netpath/stack/icmp";
 * import { inet } from "@netpath/stack/inet";
 * import { ipv4 } from "@netpath/stack/ipv4";
 * import { neigh } from "@netpath/stack/neigh";
 *
 * using machine = new Machine();
 * const net = machine.createNet({ plugins: [inet(), devinet(), neigh(), fib(), arp(), ipv4(), icmp()] });
 * const sent: Uint8Array[] = [];
 * const tun0 = net.registerNetdev("tun0", {
 *   startXmit(skb) {
 *     sent.push(skb.bytes.slice(skb.data, skb.tail));
 *     skb.consume();
 *     return 0;
 *   },
 * }, { type: 0xfffe, flags: IFF_NOARP, txQueueLen: 0 });
 * net.get(DEVINET).addAddress(tun0, "10.0.0.1/24");
 *
 * // 10.0.0.2 pings 10.0.0.1: IP header, ICMP type 8.
 * const ping = "4500001c0000000040016" + "6df" + "0a0000020a000001" + "0800" + "f7ff" + "00000000";
 * tun0.receive(Uint8Array.from(ping.match(/../g)!, (byte) => parseInt(byte, 16)));
 *
 * assertEquals(ICMP_ECHO, 8);
 * assertEquals(sent[0][20], ICMP_ECHOREPLY);
 * ```
 *
 * @module
 */
import type { Net, Plugin } from "../../../core/mod.ts";
import { INET, inetAddProtocol, inetFillIcmpSend, IPPROTO_ICMP } from "../inet/contract.ts";
import { DEVINET } from "../devinet/contract.ts";
import { FIB } from "../fib/contract.ts";
import { IPV4 } from "../ipv4/contract.ts";
import { ICMP } from "./contract.ts";
import { icmpErr, icmpRcv } from "./input.ts";
import { icmpSend } from "./output.ts";
import { IcmpState } from "./state.ts";

export * from "./contract.ts";
export * from "./header.ts";

/** Provides {@linkcode ICMP}, fills `inet.icmpSend`, handles protocol 1. Linux: icmp_init(), net/ipv4/icmp.c. */
export function icmp(): Plugin {
  return {
    name: "icmp",
    api: 1,
    requires: [INET, DEVINET, FIB, IPV4],
    provides: [ICMP],
    setup(net) {
      const st = net.state("icmp:state", () => new IcmpState(net));
      const knobs = defineSysctls(net, st);
      net.provide(ICMP, st.ping);
      inetFillIcmpSend(net, (skb, type, code, info) => icmpSend(st, skb, type, code, info));
      inetAddProtocol(net, IPPROTO_ICMP, {
        rcv: (skb) => icmpRcv(st, skb),
        error: (skb, type, code, info) => icmpErr(st, skb, type, code, info),
      });
      return {
        [Symbol.dispose]: () => {
          for (const knob of knobs) knob[Symbol.dispose]();
        },
      };
    },
  };
}

function defineSysctls(net: Net, st: IcmpState): Disposable[] {
  const { conf, limits } = st;
  const knob = (name: string, value: number, max: number, apply: (v: number) => void): Disposable =>
    net.sysctl.define(`net.ipv4.${name}`, { value, min: 0, max, apply });
  const big = 0x7fffffff;
  return [
    knob("icmp_echo_ignore_all", 0, 1, (v) => conf.echoIgnoreAll = v),
    knob("icmp_echo_ignore_broadcasts", 1, 1, (v) => conf.echoIgnoreBroadcasts = v),
    knob("icmp_ignore_bogus_error_responses", 1, 1, (v) => conf.ignoreBogusErrorResponses = v),
    knob("icmp_errors_use_inbound_ifaddr", 0, 1, (v) => conf.errorsUseInboundIfaddr = v),
    knob("ip_no_pmtu_disc", 0, 3, (v) => conf.noPmtuDisc = v),
    knob("icmp_ratelimit", 1000, big, (v) => limits.ratelimit = v),
    knob("icmp_ratemask", 6168, big, (v) => limits.ratemask = v),
    knob("icmp_msgs_per_sec", 1000, big, (v) => limits.msgsPerSec = v),
    knob("icmp_msgs_burst", 50, big, (v) => limits.msgsBurst = v),
  ];
}
