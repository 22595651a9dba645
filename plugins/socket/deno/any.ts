/**
 * `listenAny()`: a listener for any address and any port, for gateways, jails and proxies.
 *
 * As with Linux's TPROXY, what is sent to addresses that are not ours is turned to the local host before routing; the
 * socket is found by a last question of the look-up, as a program of BPF_PROG_TYPE_SK_LOOKUP would find it.
 */
import { ERRNO, type Net, type SkBuff } from "../../../core/mod.ts";
import { type Dst, FIB, type Fib, RTN_UNICAST } from "../../network/fib/contract.ts";
import { ipToString } from "../../network/inet/contract.ts";
import { IP_DF, IPH_DADDR, IPH_FRAG_OFF, IPH_PROTOCOL, IPH_SADDR, IPH_TOS } from "../../network/ipv4/header.ts";
import {
  NF_ACCEPT,
  NF_INET_PRE_ROUTING,
  NF_IP_PRI,
  type NfHookState,
  nfRegisterNetHook,
} from "../../network/netfilter/contract.ts";
import { AF_INET, SOCK_STREAM } from "../../transport/sock/contract.ts";
import { TCP } from "../../transport/tcp/contract.ts";
import type { ListenAnyOptions, TcpListener } from "./contract.ts";
import { socketError } from "./errors.ts";
import { type Face, faceOf } from "./face.ts";
import { Listener } from "./listener.ts";

const IPPROTO_TCP = 6;
const INADDR_LOOPBACK = 0x7f000001;
/** Deno's default. */
const BACKLOG = 511;

type Accept = (addr: number, port: number) => boolean;

/**
 * A listener for what no other listener takes: every port, of every address that a packet can bring here, also of ones
 * that are not this net's. `localAddr` of a connection is where its client wanted to go. One at a time; a second one is
 * `AddrInUse`. Fragments of TCP to foreign addresses are not taken.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { createLab } from "@netpath/stack/lab";
 * import { listenAny } from "@netpath/stack/deno";
 *
 * using lab = createLab();
 * lab.link("client", "gateway");
 * const client = lab.host("client");
 * client.route.add("default", { via: "10.0.0.2" });
 *
 * using listener = listenAny(lab.host("gateway").net);
 * using _there = await client.connect({ hostname: "192.0.2.80", port: 443 });
 * using here = await listener.accept();
 * assertEquals(here.localAddr, { transport: "tcp", hostname: "192.0.2.80", port: 443 });
 * ```
 */
export function listenAny(net: Net, options: ListenAnyOptions = {}): TcpListener {
  const { accept, tcpBacklog = BACKLOG } = options;
  const face = faceOf(net);
  const takes: Accept = accept === undefined
    ? () => true
    : (addr, port) => accept({ hostname: ipToString(addr), port });
  const fd = face.sys.socket(AF_INET, SOCK_STREAM, IPPROTO_TCP);
  if (fd < 0) throw socketError(fd, "make a stream socket");
  const err = face.sys.listen(fd, tcpBacklog);
  if (err < 0) {
    face.sys.close(fd);
    throw socketError(err, "listen on any address");
  }
  try {
    return new AnyListener(face, fd, catchAll(net, face, fd, takes));
  } catch (error) {
    face.sys.close(fd);
    if (error instanceof TypeError) throw socketError(ERRNO.EADDRINUSE, "listen on any address");
    throw error;
  }
}

/** A listener that lets go of the rest when it is closed. */
class AnyListener extends Listener {
  readonly #end: Disposable;

  constructor(face: Face, fd: number, end: Disposable) {
    super(face, fd);
    this.#end = end;
  }

  override close(): void {
    super.close();
    this.#end[Symbol.dispose]();
  }
}

/** Turns what is sent to foreign addresses to this host, and answers the look-up with the socket of `fd`. */
function catchAll(net: Net, face: Face, fd: number, takes: Accept): Disposable {
  const tcp = net.get(TCP);
  const fib = net.get(FIB);
  const sk = face.sys.sock(fd);
  tcp.setSkLookup((_saddr, _sport, daddr, dport) => takes(daddr, dport) ? sk : null);
  fib.anySource(true);
  const divert = new Divert(fib, takes);
  const hook = nfRegisterNetHook(net, {
    name: "listen_any",
    hook: NF_INET_PRE_ROUTING,
    priority: NF_IP_PRI.MANGLE,
    fn: (skb, state) => divert.look(skb, state),
  });
  return {
    [Symbol.dispose]: () => {
      hook[Symbol.dispose]();
      fib.anySource(false);
      tcp.setSkLookup(null);
    },
  };
}

/** The hook. Linux: xt_TPROXY, with `ip route add local 0.0.0.0/0 dev lo` for what it marks. */
class Divert {
  readonly #fib: Fib;
  readonly #takes: Accept;
  /** The way to this host. */
  #local: Dst | null = null;

  constructor(fib: Fib, takes: Accept) {
    this.#fib = fib;
    this.#takes = takes;
  }

  /** Gives a packet its route, if it is one of ours; netfilter's verdict. Borrows `skb`. */
  look(skb: SkBuff, state: NfHookState): number {
    const { view, networkHeader: iph } = skb;
    const fib = this.#fib;
    const whole = (view.getUint16(iph + IPH_FRAG_OFF) & ~IP_DF) === 0;
    if (view.getUint8(iph + IPH_PROTOCOL) !== IPPROTO_TCP || !whole || state.in === null) return NF_ACCEPT;
    const daddr = view.getInt32(iph + IPH_DADDR);
    if (skb.dst !== null || fib.addrType(daddr) !== RTN_UNICAST) return NF_ACCEPT;
    const hlen = (view.getUint8(iph) & 15) << 2;
    // The transport header may be in a frag.
    if (!skb.mayPull(hlen + 4)) return NF_ACCEPT;
    const now = skb.view;
    const saddr = now.getInt32(skb.networkHeader + IPH_SADDR);
    if (!this.#takes(daddr, now.getUint16(skb.networkHeader + hlen + 2))) return NF_ACCEPT;
    // A source that cannot be is left to routing, which says why.
    if (fib.validateSource(saddr, daddr, now.getUint8(skb.networkHeader + IPH_TOS), state.in) !== 0) return NF_ACCEPT;
    if (this.#local === null || this.#local.obsolete) this.#local = fib.routeOutput(INADDR_LOOPBACK, 0, 0, 0);
    skb.dst = this.#local;
    return NF_ACCEPT;
  }
}
