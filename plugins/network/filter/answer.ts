/** Answers to rejected packets: a RST, or an ICMP error. Linux: net/ipv4/netfilter/nf_reject_ipv4.c. */
import * as core from "../../../core/mod.ts";
import type { Net, SkBuff } from "../../../core/mod.ts";
import * as tcp from "../../transport/tcp/header.ts";
import { FIB, type Fib } from "../fib/contract.ts";
import { ICMP_DEST_UNREACH, ICMP_PORT_UNREACH } from "../icmp/header.ts";
import { INET, type Inet, IPPROTO_TCP, IPPROTO_UDP } from "../inet/contract.ts";
import { IPV4, type Ipv4 } from "../ipv4/contract.ts";
import { IP_OFFSET, IPH_DADDR, IPH_FRAG_OFF, IPH_PROTOCOL, IPH_SADDR, IPH_TOT_LEN } from "../ipv4/header.ts";

const { CHECKSUM_NONE, csumFold, csumTcpUdpNofold, DROP, NET_SKB_PAD, PACKET_HOST, skbChecksum } = core;
const { TCP_ACK_SEQ, TCP_CHECK, TCP_DEST, TCP_FLAG_WORD, TCP_HLEN, TCP_SEQ, TCP_SOURCE } = tcp;

/** Protocols whose integrity is no ones' complement sum of the whole payload: GRE, ESP, AH, DCCP, SCTP, UDP-Lite. */
const OTHER_SUMS: readonly number[] = [47, 50, 51, 33, 132, 136];
const FIN = 1;
const SYN = 2;
const RST = 4;
const ACK = 16;
/** {@linkcode FilterAnswers.send}'s code for "a RST for TCP, else port unreachable". */
const AUTO = -1;
/** ... and for "a RST". */
const TCP_RESET = -2;

/** What answers need of the net. */
export class FilterAnswers {
  readonly #net: Net;
  readonly #fib: Fib;
  readonly #inet: Inet;
  readonly #ipv4: Ipv4;

  /** For one net. */
  constructor(net: Net) {
    this.#net = net;
    this.#fib = net.get(FIB);
    this.#inet = net.get(INET);
    this.#ipv4 = net.get(IPV4);
  }

  /** Answers the sender of `skb`: a RST, or ICMP's destination unreachable with `code`. Borrows `skb`. */
  send(skb: SkBuff, code: number): void {
    const { view, networkHeader: ip } = skb;
    // An answer to a group, or to a frame that is another host's, would be a lie; one to a later fragment has no ports.
    if (skb.pktType !== PACKET_HOST || (view.getUint16(ip + IPH_FRAG_OFF) & IP_OFFSET) !== 0) return;
    if (!this.#sound(skb)) return;
    if (code === TCP_RESET || (code === AUTO && view.getUint8(ip + IPH_PROTOCOL) === IPPROTO_TCP)) this.#reset(skb);
    else this.#inet.icmpSend(skb, ICMP_DEST_UNREACH, code === AUTO ? ICMP_PORT_UNREACH : code, 0);
  }

  /**
   * Whether the packet's checksums are right: nobody must be answered for what somebody else mangled. As in Linux the IP
   * header is in the sum, so that a packet whose options the host filled in is not answered either.
   * Linux: nf_reject_verify_csum(), nf_ip_checksum(). Borrows `skb`.
   */
  #sound(skb: SkBuff): boolean {
    const { view, networkHeader: ip } = skb;
    const protocol = view.getUint8(ip + IPH_PROTOCOL);
    if (skb.ipSummed !== CHECKSUM_NONE || OTHER_SUMS.includes(protocol)) return true;
    const hlen = (view.getUint8(ip) & 15) << 2;
    const before = ip - skb.data;
    const len = skb.len - before;
    let pseudo = 0;
    if (protocol === IPPROTO_TCP || protocol === IPPROTO_UDP) {
      if (protocol === IPPROTO_UDP && !skb.mayPull(before + hlen + 8)) return false;
      if (protocol === IPPROTO_UDP && skb.view.getUint16(skb.data + before + hlen + 6) === 0) return true;
      pseudo = csumTcpUdpNofold(view.getInt32(ip + IPH_SADDR), view.getInt32(ip + IPH_DADDR), len - hlen, protocol);
    }
    return csumFold(skbChecksum(skb, before, len, pseudo)) === 0;
  }

  /** RFC 9293, section 3.10.7.1: the reset that a closed port would send. Borrows `skb`. */
  #reset(skb: SkBuff): void {
    const { networkHeader: ip } = skb;
    const hlen = (skb.view.getUint8(ip) & 15) << 2;
    const before = ip - skb.data + hlen;
    if (!skb.mayPull(before + TCP_HLEN)) return;
    const view = skb.view;
    const at = skb.data + before;
    const word = view.getUint32(at + TCP_FLAG_WORD);
    const flags = (word >>> 16) & 255;
    if ((flags & RST) !== 0) return;
    const acked = (flags & ACK) !== 0;
    const data = view.getUint16(ip + IPH_TOT_LEN) - hlen - ((word >>> 28) << 2);
    const end = view.getInt32(at + TCP_SEQ) + data + ((flags & SYN) !== 0 ? 1 : 0) + ((flags & FIN) !== 0 ? 1 : 0);
    const out = this.#net.machine.skbs.alloc(NET_SKB_PAD + TCP_HLEN);
    if (out === null) return;
    out.reserve(NET_SKB_PAD);
    out.put(TCP_HLEN);
    out.resetTransportHeader();
    const to = out.data;
    out.view.setUint16(to + TCP_SOURCE, view.getUint16(at + TCP_DEST));
    out.view.setUint16(to + TCP_DEST, view.getUint16(at + TCP_SOURCE));
    out.view.setInt32(to + TCP_SEQ, acked ? view.getInt32(at + TCP_ACK_SEQ) : 0);
    out.view.setInt32(to + TCP_ACK_SEQ, acked ? 0 : end);
    out.view.setInt32(to + TCP_FLAG_WORD, (TCP_HLEN << 26) | ((acked ? RST : RST | ACK) << 16));
    out.view.setInt32(to + TCP_CHECK, 0);
    this.#route(out, view.getInt32(ip + IPH_DADDR), view.getInt32(ip + IPH_SADDR));
  }

  /** Linux: ip_route_me_harder(), ip_local_out(). Takes ownership of `skb`. */
  #route(skb: SkBuff, saddr: number, daddr: number): void {
    // Of a forwarded packet the source is not ours: the way is asked for without it.
    const dst = this.#fib.routeOutput(daddr, 0, 0, 0);
    if (dst === null) {
      this.#net.drop(skb, DROP.IP_OUTNOROUTES);
      return;
    }
    skb.dst = dst;
    const pseudo = csumTcpUdpNofold(saddr, daddr, TCP_HLEN, IPPROTO_TCP);
    skb.view.setUint16(skb.data + TCP_CHECK, csumFold(skbChecksum(skb, 0, TCP_HLEN, pseudo)), true);
    this.#ipv4.queueXmit(skb, saddr, daddr, IPPROTO_TCP, 0, 0, true);
  }
}
