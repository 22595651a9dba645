/**
 * What the network stages need from above, in one record: the table of transport protocols, the slot for ICMP errors,
 * raw delivery, and the SNMP counters. Linux: net/ipv4/af_inet.c, inet_init().
 *
 * It handles no packet itself. `ipv4` reads the table, `udp`, `tcp` and `icmp` register in it.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { Machine } from "@netpath/stack/core";
 * import { INET, inet, inetAddProtocol } from "@netpath/stack/inet";
 *
 * using machine = new Machine();
 * const net = machine.createNet({ plugins: [inet()] });
 * // A transport protocol that eats what it gets.
 * using _protocol = inetAddProtocol(net, 253, { rcv: (skb) => skb.consume(), error: () => {} });
 * assertEquals(net.get(INET).protocols[253] !== null, true);
 * assertEquals(net.get(INET).mib.ip.InReceives, 0);
 * ```
 *
 * @module
 */
import type { Plugin } from "../../../core/mod.ts";
import { INET, type Inet, type InetProtocol, SnmpMib } from "./contract.ts";

export * from "./contract.ts";

/** Provides {@linkcode INET}. The record belongs to the net: a swap keeps counters and registrations. */
export function inet(): Plugin {
  return {
    name: "inet",
    api: 1,
    provides: [INET],
    setup(net) {
      net.provide(INET, net.state<Inet>("inet:record", makeInet));
    },
  };
}

function makeInet(): Inet {
  return {
    protocols: new Array<InetProtocol | null>(256).fill(null),
    mib: new SnmpMib(),
    icmpSend: () => {},
    rawDeliver: () => false,
    rawError: () => {},
    rawState: null,
  };
}
