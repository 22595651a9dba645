/**
 * IPv4: receive, forward, send, fragment, reassemble. RFC 791, RFC 1122, RFC 1812.
 *
 * Read `input.ts` first (the way up: {@linkcode Ipv4Header} check, PRE_ROUTING, route, options, then local delivery or
 * `forward.ts`), then `output.ts` (the way down: header, LOCAL_OUT, POST_ROUTING, `fragment.ts`, neighbour). The two
 * meet in forwarding and nowhere else. `reassembly.ts` keeps what is not whole yet, `options.ts` the rare options.
 *
 * Without netfilter in the net the hooks cost nothing; with it, a hook where nobody registered costs one array load.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { Machine } from "@netpath/stack/core";
 * import { devinet } from "@netpath/stack/devinet";
 * import { fib } from "@netpath/stack/fib";
 * import { inet, INET } from "@netpath/stack/inet";
 * import { ETH_P_IP, IPV4, ipv4 } from "@netpath/stack/ipv4";
 * import { neigh } from "@netpath/stack/neigh";
 *
 * using machine = new Machine();
 * const net = machine.createNet({ plugins: [inet(), devinet(), neigh(), fib(), ipv4()] });
 * // A device without link header: what comes in is an IP packet, here one with a header that is none.
 * const tun0 = net.registerNetdev("tun0", { startXmit: (skb) => (skb.consume(), 0) }, { type: 0xfffe });
 * tun0.receive(new Uint8Array(20));
 *
 * assertEquals(net.ptypes.buckets[ETH_P_IP & 15].length, 1);
 * assertEquals(net.get(INET).mib.ip.InHdrErrors, 1);
 * assertEquals(net.dropTable(), { IP_INHDR: 1 });
 * assertEquals(net.get(IPV4).fragMem(), 0);
 * ```
 *
 * @module
 */
import { devAddPack, type Net, type NetDevice, type PacketType, type Plugin, type SkBuff } from "../../../core/mod.ts";
import { INET } from "../inet/contract.ts";
import { NETFILTER } from "../netfilter/contract.ts";
import { DEVINET } from "../devinet/contract.ts";
import { NEIGH } from "../neigh/contract.ts";
import { FIB } from "../fib/contract.ts";
import { ETH_P_IP, type IpCork, IPV4, type Ipv4 } from "./contract.ts";
import { ipRcv } from "./input.ts";
import { type EchoResult, ipOptionsEcho, specDst } from "./options.ts";
import { ipLocalOut, ipMakeSkb, ipQueueXmit, ipQueueXmitOptions, ipSendSkb } from "./output.ts";
import { ipDefrag, ipFragFlush } from "./reassembly.ts";
import { ipOptionsGet, ipOptionsSave, ipOptionsUndo } from "./sock_options.ts";
import { Ipv4State } from "./state.ts";

export * from "./contract.ts";
export * from "./header.ts";

/** Provides {@linkcode IPV4} and receives EtherType 0x0800. Linux: ip_init(), net/ipv4/ip_output.c. */
export function ipv4(): Plugin {
  return {
    name: "ipv4",
    api: 1,
    requires: [INET, DEVINET, NEIGH, FIB],
    uses: [NETFILTER],
    provides: [IPV4],
    setup(net) {
      const st = net.state("ipv4:state", () => new Ipv4State(net));
      st.findHooks();
      const knobs = defineSysctls(net, st);
      net.provide(IPV4, makeOps(st));
      const ptype: IpPacketType = { type: ETH_P_IP, dev: null, func: ipPtypeRcv, st };
      devAddPack(net, ptype);
      net.registration(() => {
        const chain = net.netdevChain.register((event) => {
          if (event.kind === "NETDEV_UNREGISTER") ipFragFlush(st, event.dev.ifindex);
        });
        return () => chain[Symbol.dispose]();
      });
      return {
        [Symbol.dispose]: () => {
          for (const knob of knobs) knob[Symbol.dispose]();
        },
      };
    },
  };
}

/** Records with their state: one function for all nets is known to V8 by identity, a closure per net is not. */
interface Ipv4Ops extends Ipv4 {
  readonly st: Ipv4State;
}

interface IpPacketType extends PacketType {
  readonly st: Ipv4State;
}

function ipPtypeRcv(this: IpPacketType, skb: SkBuff, dev: NetDevice): void {
  ipRcv(this.st, skb, dev);
}

function queueXmit(
  this: Ipv4Ops,
  skb: SkBuff,
  saddr: number,
  daddr: number,
  protocol: number,
  tos: number,
  ttl: number,
  df: boolean,
  ident?: number,
): number {
  return ipQueueXmit(this.st, skb, saddr, daddr, protocol, tos, ttl, df, ident);
}

function makeSkb(this: Ipv4Ops, cork: IpCork): SkBuff | null {
  return ipMakeSkb(this.st, cork);
}

function sendSkb(this: Ipv4Ops, skb: SkBuff, cork: IpCork): number {
  return ipSendSkb(this.st, skb, cork);
}

function makeOps(st: Ipv4State): Ipv4Ops {
  const echo: EchoResult = { faddr: 0 };
  return {
    st,
    makeSkb,
    sendSkb,
    queueXmit,
    queueXmitOptions: (skb, saddr, daddr, protocol, tos, ttl, df, ident, options) =>
      ipQueueXmitOptions(st, skb, saddr, daddr, protocol, tos, ttl, df, ident, options),
    optionsGet: ipOptionsGet,
    optionsUndo: ipOptionsUndo,
    optionsSave: (skb) => ipOptionsSave(st, skb),
    localOut: (skb) => ipLocalOut(st, skb),
    defrag: (skb, user) => ipDefrag(st, skb, user),
    selectIdent: (saddr, daddr, protocol, segs) => st.idents.select(saddr, daddr, protocol, segs),
    optionsEcho: (skb) => ipOptionsEcho(st, skb, echo),
    optionsFaddr: () => echo.faddr,
    specDst: (skb) => specDst(st, skb),
    fragMem: () => st.frags.mem,
  };
}

function defineSysctls(net: Net, st: Ipv4State): Disposable[] {
  const conf = st.conf;
  const knob = (name: string, value: number, min: number, max: number, apply: (v: number) => void): Disposable =>
    net.sysctl.define(`net.ipv4.${name}`, { value, min, max, apply });
  const big = 0x7fffffff;
  return [
    knob("ip_default_ttl", 64, 1, 255, (v) => conf.defaultTtl = v),
    knob("ip_forward_update_priority", 1, 0, 1, (v) => conf.fwdUpdatePriority = v),
    knob("ip_forward_use_pmtu", 0, 0, 1, (v) => conf.fwdUsePmtu = v),
    knob("ipfrag_high_thresh", 4_194_304, 0, big, (v) => conf.fragHighThresh = v),
    knob("ipfrag_low_thresh", 3_145_728, 0, big, (v) => conf.fragLowThresh = v),
    knob("ipfrag_time", 30, 0, 1_000_000, (v) => conf.fragTimeout = v * 1000),
    knob("ipfrag_max_dist", 64, 0, big, (v) => conf.fragMaxDist = v),
  ];
}
