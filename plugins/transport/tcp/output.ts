/**
 * What is sent and when: the write queue, the windows, Nagle's algorithm, super-packets, and the segment itself.
 * RFC 9293 section 3.8, RFC 1122 section 4.2.3.4, RFC 896 with Minshall's variant. Linux: net/ipv4/tcp_output.c.
 *
 * The write queue is `writeHead` … `writeTail`, linked by `next`. At its first transmission an skb moves to `rtx`; what
 * goes to IP is a clone with a head of its own over the same payload, so that nothing is copied, also when it goes again.
 * Segments that only control (`control.ts`) go without a clone.
 */
import type { SkBuff } from "../../../core/mod.ts";
import * as core from "../../../core/mod.ts";
import type { Dst } from "../../network/fib/contract.ts";
import * as inet from "../../network/inet/contract.ts";
import * as ipv4 from "../../network/ipv4/contract.ts";
import * as sock from "../sock/contract.ts";
import * as ack from "./ack.ts";
import * as ackSend from "./ack_send.ts";
import * as cong from "./cong.ts";
import * as contract from "./contract.ts";
import * as cwndUsage from "./cwnd_usage.ts";
import * as memory from "./memory.ts";
import * as mss from "./mss.ts";
import * as mtuProbe from "./mtu_probe.ts";
import * as optionsWrite from "./options_write.ts";
import * as rate from "./rate.ts";
import * as recovery from "./recovery.ts";
import * as retransmit from "./retransmit.ts";
import { SkbRing } from "./skb_ring.ts";
import type { TcpSock } from "./tcp_sock.ts";
import * as tcpSock from "./tcp_sock.ts";
import * as timer from "./timer.ts";
import * as tsq from "./tsq.ts";
import * as win from "./window.ts";
import * as txStatus from "./tx_status.ts";

export * from "./control.ts";
export * from "./cwnd_usage.ts";

// Constants of the module's own are folded into machine code; an imported binding is loaded and checked at each use.
const { tcpRearmRto } = ack;
const { tcpCompressedAckSent, tcpDecQuickackMode } = ackSend;
const { tcpCaEvent } = cong;
const { tcpChronoStart, tcpChronoStop, tcpCwndValidate, tcpInCwndReduction } = cwndUsage;
const { tcpCheckSpace } = memory;
const { tcpAdvertiseMss, tcpCurrentMss, tcpSkRoute } = mss;
const { tcpMtuProbe } = mtuProbe;
const { tcpEstablishedOptionsSize, tcpEstablishedOptionsWrite, tcpSynOptionsSize, tcpSynOptionsWrite } = optionsWrite;
const { tcpRateSkbSent } = rate;
const { tcpEnterCwr } = recovery;
const { tcpFragment, tcpGrowSkb, tcpSetSkbTsoSegs } = retransmit;
const { tcpProbe0Base, tcpResetXmitTimer, tcpScheduleLossProbe } = timer;
const { tcpPacingCheck, tcpPacingRate, tcpPacingSent, tcpSmallQueueCheck } = tsq;
const { tcpSelectWindow } = win;
const { tcpTxSent } = txStatus;
const {
  CHECKSUM_NONE,
  CHECKSUM_PARTIAL,
  csumBlockAdd,
  csumFold,
  csumTcpUdpNofold,
  DROP,
  ERRNO,
  G_SOCK,
  NET_SKB_PAD,
  NET_XMIT_CN,
  NETIF_F_HW_CSUM,
  NETIF_F_TSO,
  SKB_GSO_TCPV4,
  skbChecksum,
} = core;
const { IPPROTO_TCP } = inet;
const { IP_PMTUDISC_DO, IP_PMTUDISC_WANT } = ipv4;
const { MSG_MORE, skbSetOwnerW } = sock;
const { CA_EVENT_TX_START, TCP_CA_RECOVERY, TCP_CLOSE, TCP_NAGLE_CORK, TCP_NAGLE_OFF, TCP_NAGLE_PUSH } = contract;
const {
  after,
  CB_END_SEQ,
  CB_F_EOR,
  CB_FLAGS,
  CB_MSTAMP,
  CB_PCOUNT,
  CB_SEQ,
  ICSK_TIME_LOSS_PROBE,
  ICSK_TIME_PROBE0,
  TCP_CHRONO_RWND_LIMITED,
  TCP_ECN_DEMAND_CWR,
  TCP_ECN_OK,
  TCP_ECN_QUEUE_CWR,
  tcpMstampRefresh,
  TCPHDR_ACK,
  TCPHDR_CWR,
  TCPHDR_ECE,
  TCPHDR_FIN,
  TCPHDR_PSH,
  TCPHDR_SYN,
  TCPHDR_URG,
} = tcpSock;

const ENOBUFS = -ERRNO.ENOBUFS;
const EHOSTUNREACH = -ERRNO.EHOSTUNREACH;
const MSG_OOB = 1;
const TCP_HLEN = 20;
const TCP_CHECK = 16;
const U16_MAX = 65535;
const ECN_ECT_0 = 2;
const FLAGS_MASK = 0x1ff;
/** Payload of the largest super-packet: 64 KiB with the headers. Linux: sk_gso_max_size, GSO_LEGACY_MAX_SIZE. */
export const TCP_GSO_MAX_SIZE: number = 65536 - 321;

// ---- one segment

/**
 * Sends a segment as it stands in the queue. With `cloneIt` the original stays where it is; 0, a NET_XMIT_* code or a
 * negative errno. Linux: tcp_transmit_skb(), net/ipv4/tcp_output.c.
 * Takes ownership of `skb` if `cloneIt` is false. With `cloneIt`: Borrows `skb`.
 */
export function tcpTransmitSkb(tp: TcpSock, skb: SkBuff, cloneIt: boolean): number {
  return __tcpTransmitSkb(tp, skb, cloneIt, tp.rcvNxt);
}

/**
 * The same with another acknowledgement number. Linux: __tcp_transmit_skb(), net/ipv4/tcp_output.c.
 * Takes ownership of `skb` if `cloneIt` is false. With `cloneIt`: Borrows `skb`.
 */
export function __tcpTransmitSkb(tp: TcpSock, skb: SkBuff, cloneIt: boolean, rcvNxt: number): number {
  const st = tp.st;
  const sk = tp.sk;
  const dst = tcpSkRoute(tp);
  if (dst === null) return noRoute(tp, skb, cloneIt);
  const out = cloneIt ? cloneForXmit(tp, skb) : skb;
  if (out === null) return ENOBUFS;
  const at = st.cb;
  const words = skb.cb;
  const seq = words[at + CB_SEQ];
  const endSeq = words[at + CB_END_SEQ];
  const pcount = words[at + CB_PCOUNT] || 1;
  const payload = out.len;
  let flags = words[at + CB_FLAGS] & FLAGS_MASK;
  // It makes the receiver's GRO hand a super-packet up at once.
  if (pcount > 1) flags |= TCPHDR_PSH;
  const syn = (flags & TCPHDR_SYN) !== 0;
  const header = TCP_HLEN + (syn ? tcpSynOptionsSize(tp) : tcpEstablishedOptionsSize(tp));
  const th = out.push(header);
  out.transportHeader = th;
  out.dst = dst;
  skbSetOwnerW(out, sk);

  let urgent = 0;
  // In urgent mode. Linux: tcp_urg_mode().
  if (tp.sndUna !== tp.sndUp && ((seq - tp.sndUp) | 0) < 0) {
    urgent = urgentPointer(tp, seq);
    if (urgent !== 0) flags |= TCPHDR_URG;
  }
  let tos = sk.tos;
  let window: number;
  if (syn) window = tp.rcvWnd < U16_MAX ? tp.rcvWnd : U16_MAX;
  else {
    window = tcpSelectWindow(tp);
    if ((tp.ecnFlags & TCP_ECN_OK) !== 0) {
      tos &= ~3;
      // Only new data is marked (RFC 3168 section 6.1.5), and it carries CWR once.
      const fresh = payload !== 0 && ((seq - tp.sndNxt) | 0) >= 0;
      if (fresh || tp.icskCaOps.needsEcn) tos |= ECN_ECT_0;
      if (fresh && (tp.ecnFlags & TCP_ECN_QUEUE_CWR) !== 0) {
        tp.ecnFlags &= ~TCP_ECN_QUEUE_CWR;
        flags |= TCPHDR_CWR;
      }
      if ((tp.ecnFlags & TCP_ECN_DEMAND_CWR) !== 0) flags |= TCPHDR_ECE;
    }
  }
  const view = out.view;
  view.setInt32(th, (sk.sport << 16) | sk.dport);
  view.setInt32(th + 4, seq);
  view.setInt32(th + 8, (flags & TCPHDR_ACK) !== 0 ? rcvNxt : 0);
  view.setInt32(th + 12, (header << 26) | (flags << 16) | window);
  view.setInt32(th + TCP_CHECK, urgent);
  if (header !== TCP_HLEN) {
    const tsval = (st.machine.jiffies + tp.tsoffset) | 0;
    if (syn) tcpSynOptionsWrite(tp, view, th + TCP_HLEN, tcpAdvertiseMss(tp), tsval);
    else tcpEstablishedOptionsWrite(tp, view, th + TCP_HLEN, tsval);
  }
  tcpSendCheck(out, sk.saddr, sk.daddr, header, dst);

  if ((flags & TCPHDR_ACK) !== 0) tcpEventAckSent(tp, rcvNxt);
  if (payload !== 0) {
    tcpEventDataSent(tp);
    tp.dataSegsOut += pcount;
    tp.bytesSent += payload;
  }
  if (((tp.sndNxt - endSeq) | 0) < 0 || seq === endSeq) st.mib.tcp.OutSegs += pcount;
  tp.segsOut += pcount;
  if ((st.bus.mask & G_SOCK) !== 0) st.bus.hit(st.tp.tcpTransmitSkb, out, seq, flags, sk);
  const ident = sk.inetId;
  sk.inetId = (ident + pcount) & U16_MAX;
  const df = sk.pmtudisc === IP_PMTUDISC_DO || (sk.pmtudisc === IP_PMTUDISC_WANT && dst.pmtuLocked !== true);
  const ipOptions = sk.ipOptions;
  let err = ipOptions === null
    ? st.ipv4.queueXmit(out, sk.saddr, sk.daddr, IPPROTO_TCP, tos, sk.ttl, df, ident)
    : st.ipv4.queueXmitOptions(out, sk.saddr, sk.daddr, IPPROTO_TCP, tos, sk.ttl, df, ident, ipOptions);
  if (err > 0) {
    tcpEnterCwr(tp);
    if (err === NET_XMIT_CN) err = 0;
  }
  if (err === 0 && cloneIt) {
    words[at + CB_MSTAMP] = tp.tcpMstamp || 1;
    if (tp.pacingRate !== 0) tcpPacingSent(tp, payload);
    tcpRateSkbSent(tp, skb);
    if (tp.txNotes !== null) tcpTxSent(tp, skb);
  }
  return err;
}

/** Nothing leads there. Linux: the no_route exit of __ip_queue_xmit(). Takes ownership of `skb` unless `cloneIt`. */
function noRoute(tp: TcpSock, skb: SkBuff, cloneIt: boolean): number {
  tp.st.mib.ip.OutNoRoutes++;
  if (!cloneIt) tp.st.net.drop(skb, DROP.IP_OUTNOROUTES);
  return EHOSTUNREACH;
}

/**
 * A packet with its own head over the same payload: what pskb_copy() gives, with only the fields that a packet on its way
 * down needs. Null: no memory. Borrows `skb`.
 */
function cloneForXmit(tp: TcpSock, skb: SkBuff): SkBuff | null {
  const twin = tp.st.skbs.alloc(NET_SKB_PAD, skb.truesize);
  if (twin === null) return null;
  twin.reserve(NET_SKB_PAD);
  twin.id = skb.id;
  for (let i = 0; i < skb.nrFrags; i++) {
    const frag = skb.frags[i];
    frag.slab.get(frag.page);
    twin.addFrag(frag.slab, frag.page, frag.offset, frag.size);
  }
  if (skb.gsoSize !== 0) {
    twin.gsoSize = skb.gsoSize;
    twin.gsoSegs = skb.gsoSegs;
    twin.gsoType = SKB_GSO_TCPV4;
  }
  return twin;
}

/** Where the urgent data ends, as far as 16 bits tell; 0: it is too far to be told. RFC 9293 section 3.8.5. */
function urgentPointer(tp: TcpSock, seq: number): number {
  const ahead = (tp.sndUp - seq) | 0;
  if (ahead < 0x10000) return ahead;
  return after((seq + U16_MAX) | 0, tp.sndNxt) ? U16_MAX : 0;
}

/**
 * The checksum over pseudo header, header and payload; only its first part where the device does the rest. `skb.data` is
 * at the header of `header` bytes. Linux: tcp_v4_send_check(). Borrows `skb`.
 */
export function tcpSendCheck(skb: SkBuff, saddr: number, daddr: number, header: number, dst: Dst): void {
  const len = skb.len;
  const at = skb.transportHeader;
  const pseudo = csumTcpUdpNofold(saddr, daddr, len, IPPROTO_TCP);
  if (skb.gsoSize !== 0 || (dst.dev.features & NETIF_F_HW_CSUM) !== 0) {
    skb.ipSummed = CHECKSUM_PARTIAL;
    skb.csumStart = at;
    skb.csumOffset = TCP_CHECK;
    skb.view.setUint16(at + TCP_CHECK, ~csumFold(pseudo) & U16_MAX, true);
    return;
  }
  let sum: number;
  if (skb.nrFrags === 1) {
    const frag = skb.frags[0];
    sum = csumBlockAdd(skb.slab.ops.csum(at, header, pseudo), frag.slab.ops.csum(frag.offset, frag.size, 0), header);
  } else sum = skbChecksum(skb, 0, len, pseudo);
  skb.view.setUint16(at + TCP_CHECK, csumFold(sum), true);
  skb.ipSummed = CHECKSUM_NONE;
}

/** An ACK leaves: what was to be acknowledged is. Linux: tcp_event_ack_sent(). */
function tcpEventAckSent(tp: TcpSock, rcvNxt: number): void {
  if (tp.compressedAck !== 0) tcpCompressedAckSent(tp);
  if (rcvNxt !== tp.rcvNxt) return;
  if (tp.ackQuick !== 0) tcpDecQuickackMode(tp);
  tp.ackPending = 0;
  tp.ackRetry = 0;
}

/** Data leaves. A prompt answer to what came is the mark of an interactive session. Linux: tcp_event_data_sent(). */
function tcpEventDataSent(tp: TcpSock): void {
  const now = tp.st.machine.jiffies;
  if (tp.packetsOut - (tp.sackedOut + tp.lostOut) + tp.retransOut === 0) tcpCaEvent(tp, CA_EVENT_TX_START);
  tp.lsndtime = now;
  if (((now - tp.ackLrcvtime) >>> 0) < tp.ackAto && tp.ackPingpong < 255) tp.ackPingpong++;
}

// ---- the write queue

/** The first that was not sent yet. Linux: tcp_send_head(). */
export function tcpSendHead(tp: TcpSock): SkBuff | null {
  return tp.writeHead;
}

/** Appends to the write queue; sequence numbers, memory and charge are the caller's. Takes ownership of `skb`. */
export function tcpAddWriteQueueTail(tp: TcpSock, skb: SkBuff): void {
  skb.next = null;
  if (tp.writeTail === null) tp.writeHead = skb;
  else tp.writeTail.next = skb;
  tp.writeTail = skb;
}

/** The head of the write queue was sent: it waits for its ACK. Linux: tcp_event_new_data_sent(). Borrows `skb`. */
export function tcpEventNewDataSent(tp: TcpSock, skb: SkBuff): void {
  const st = tp.st;
  const prior = tp.packetsOut;
  const pcount = skb.cb[st.cb + CB_PCOUNT];
  tp.sndNxt = skb.cb[st.cb + CB_END_SEQ];
  tp.writeHead = skb.next;
  if (tp.writeHead === null) tp.writeTail = null;
  skb.next = null;
  tcpRtxQueue(tp).push(skb);
  tp.packetsOut = prior + pcount;
  if (prior === 0 || tp.icskPending === ICSK_TIME_LOSS_PROBE) tcpRearmRto(tp);
  st.mib.tcpExt.TCPOrigDataSent += pcount;
  if (tp.sk.nospace) tcpCheckSpace(tp);
}

/** The queue of what was sent, made when something is. */
export function tcpRtxQueue(tp: TcpSock): SkbRing {
  return tp.rtx ??= new SkbRing(tp.st.cb + CB_SEQ);
}

// ---- may it go?

/** End of the peer's window. Linux: tcp_wnd_end(). */
export function tcpWndEnd(tp: TcpSock): number {
  return (tp.sndUna + tp.sndWnd) | 0;
}

/** Whether the peer's window has room for the first segment of `skb`. Linux: tcp_snd_wnd_test(). Borrows `skb`. */
export function tcpSndWndTest(tp: TcpSock, skb: SkBuff, mss: number): boolean {
  const at = tp.st.cb;
  const end = skb.len > mss ? (skb.cb[at + CB_SEQ] + mss) | 0 : skb.cb[at + CB_END_SEQ];
  return ((tp.sndUna + tp.sndWnd - end) | 0) >= 0;
}

/** Segments that the congestion window lets go now, at most half of it at once. Linux: tcp_cwnd_test(). */
export function tcpCwndTest(tp: TcpSock): number {
  const inFlight = tp.packetsOut - (tp.sackedOut + tp.lostOut) + tp.retransOut;
  const cwnd = tp.sndCwnd;
  if (inFlight >= cwnd) return 0;
  const half = cwnd > 1 ? cwnd >> 1 : 1;
  return half < cwnd - inFlight ? half : cwnd - inFlight;
}

/** A small segment waits while another one is unacknowledged. Linux: tcp_minshall_check(). */
function minshallCheck(tp: TcpSock): boolean {
  return ((tp.sndUna - tp.sndSml) | 0) < 0 && ((tp.sndNxt - tp.sndSml) | 0) >= 0;
}

/** Notes the last small segment. Linux: tcp_minshall_update(). Borrows `skb`. */
export function tcpMinshallUpdate(tp: TcpSock, mss: number, skb: SkBuff): void {
  const at = tp.st.cb;
  if (skb.len < skb.cb[at + CB_PCOUNT] * mss) tp.sndSml = skb.cb[at + CB_END_SEQ];
}

/** Whether Nagle's algorithm holds a partial segment back. Linux: tcp_nagle_check(). */
function nagleHolds(tp: TcpSock, nonagle: number): boolean {
  return (nonagle & TCP_NAGLE_CORK) !== 0 || (nonagle === 0 && tp.packetsOut !== 0 && minshallCheck(tp));
}

/** Whether Nagle's algorithm lets `skb` go. Linux: tcp_nagle_test(), net/ipv4/tcp_output.c. Borrows `skb`. */
export function tcpNagleTest(tp: TcpSock, skb: SkBuff, mss: number, nonagle: number): boolean {
  if ((nonagle & TCP_NAGLE_PUSH) !== 0 || skb.len >= mss) return true;
  if (tp.sndUna !== tp.sndUp || (skb.cb[tp.st.cb + CB_FLAGS] & TCPHDR_FIN) !== 0) return true;
  return !nagleHolds(tp, nonagle);
}

/** Where a super-packet must be cut, bytes. Linux: tcp_mss_split_point(). Borrows `skb`. */
function mssSplitPoint(tp: TcpSock, skb: SkBuff, mss: number, maxSegs: number, nonagle: number): number {
  const window = (tp.sndUna + tp.sndWnd - skb.cb[tp.st.cb + CB_SEQ]) | 0;
  const most = mss * maxSegs;
  if (most <= window && skb.next !== null) return most;
  const needed = Math.min(skb.len, window);
  if (most <= needed) return most;
  const partial = needed % mss;
  return partial !== 0 && nagleHolds(tp, nonagle) ? needed - partial : needed;
}

/** Segments of one super-packet: about a millisecond of the rate. Linux: tcp_tso_segs(), tcp_tso_autosize(). */
export function tcpTsoSegs(tp: TcpSock, mss: number): number {
  // The route may have been forgotten since the last segment: IP_TOS was set.
  const dst = tcpSkRoute(tp);
  if (dst === null || (dst.dev.features & NETIF_F_TSO) === 0) return 1;
  const s = tp.st.sysctl;
  const rate = tcpPacingRate(tp);
  let bytes = rate === 0 ? TCP_GSO_MAX_SIZE : Math.floor(rate / 1024);
  const r = tp.rttMinUs < 0 ? 0 : tp.rttMinUs >>> s.tsoRttLog;
  if (r < 32) bytes += TCP_GSO_MAX_SIZE >>> r;
  return Math.max(Math.floor(Math.min(bytes, TCP_GSO_MAX_SIZE) / mss), s.minTsoSegs);
}

const SEND_NOW = 0;
const DEFER = 1;
const DEFER_CWND_LIMITED = 2;
const DEFER_RWND_LIMITED = 3;

/**
 * Whether a super-packet that is not full waits for the next ACK, which will let more of it go at once.
 * Linux: tcp_tso_should_defer(), net/ipv4/tcp_output.c. Borrows `skb`.
 */
export function tcpTsoShouldDefer(tp: TcpSock, skb: SkBuff, maxSegs: number): number {
  const st = tp.st;
  if (tp.icskCaState >= TCP_CA_RECOVERY) return SEND_NOW;
  // Only within a millisecond of what was sent last: else a burst would follow a silence.
  const last = tp.rtx === null ? null : tp.rtx.tail;
  if (last === null || ((tp.tcpMstamp - last.cb[st.cb + CB_MSTAMP]) | 0) >= 1000) return SEND_NOW;
  const inFlight = tp.packetsOut - (tp.sackedOut + tp.lostOut) + tp.retransOut;
  const sendWin = (tp.sndUna + tp.sndWnd - skb.cb[st.cb + CB_SEQ]) | 0;
  const congWin = (tp.sndCwnd - inFlight) * tp.mssCache;
  const limit = Math.min(sendWin, congWin);
  if (limit >= maxSegs * tp.mssCache) return SEND_NOW;
  if (skb.next !== null && limit >= skb.len) return SEND_NOW;
  const divisor = st.sysctl.tsoWinDivisor;
  if (divisor !== 0) {
    if (limit >= Math.floor(Math.min(tp.sndWnd, tp.sndCwnd * tp.mssCache) / divisor)) return SEND_NOW;
  } else if (limit > 3 * tp.mssCache) return SEND_NOW;
  const head = tp.rtx === null ? null : tp.rtx.head;
  if (head === null) return SEND_NOW;
  // The next ACK is a millisecond away or more, or half a round trip where that is shorter. Since Linux 6.18.
  const srtt = tp.srttUs >>> 3;
  const farUs = (head.cb[st.cb + CB_MSTAMP] + srtt - tp.tcpMstamp) | 0;
  if (farUs > (srtt < 2000 ? srtt >>> 1 : 1000)) return SEND_NOW;
  if (congWin < sendWin) { if (congWin <= skb.len) return DEFER_CWND_LIMITED; }
  else if (sendWin <= skb.len) return DEFER_RWND_LIMITED;
  return (skb.cb[st.cb + CB_FLAGS] & (TCPHDR_FIN | CB_F_EOR)) !== 0 ? SEND_NOW : DEFER;
}

// ---- the loop

/**
 * Sends what the windows, Nagle's algorithm and the queues below let go. `pushOne`: 1 one segment; 2 the same although the
 * congestion window is full (a loss probe). True: nothing is in flight, and something waits that could not go: the peer
 * must be probed. Linux: tcp_write_xmit(), net/ipv4/tcp_output.c.
 */
export function tcpWriteXmit(tp: TcpSock, nonagle: number, pushOne: number): boolean {
  return tp.writeHead !== null && tcpWriteXmitMss(tp, tcpCurrentMss(tp), nonagle, pushOne);
}

/** The same for a caller that knows the MSS. */
export function tcpWriteXmitMss(tp: TcpSock, mss: number, nonagle: number, pushOne: number): boolean {
  const at = tp.st.cb;
  let sent = 0;
  let cwndLimited = false;
  let rwndLimited = false;
  tcpMstampRefresh(tp);
  if (pushOne === 0 && tp.mtup !== null) {
    const probed = tcpMtuProbe(tp);
    if (probed === 0) return false;
    if (probed > 0) sent = 1;
  }
  const maxSegs = tcpTsoSegs(tp, mss);
  for (let skb = tp.writeHead; skb !== null; skb = tp.writeHead) {
    if (tp.pacing !== null && tcpPacingCheck(tp)) break;
    let quota = tcpCwndTest(tp);
    if (quota === 0) {
      if (pushOne !== 2) break;
      quota = 1;
    }
    if (quota > maxSegs) quota = maxSegs;
    if (quota > 1 && skb.len < quota * mss && skb.next !== null) tcpGrowSkb(tp, skb, quota * mss - skb.len);
    const segs = tcpSetSkbTsoSegs(tp, skb, mss);
    if (!tcpSndWndTest(tp, skb, mss)) {
      rwndLimited = true;
      break;
    }
    if (segs === 1) {
      if (!tcpNagleTest(tp, skb, mss, skb.next === null ? nonagle : TCP_NAGLE_PUSH)) break;
    } else if (pushOne === 0) {
      const defer = tcpTsoShouldDefer(tp, skb, maxSegs);
      if (defer !== SEND_NOW) {
        if (defer === DEFER_CWND_LIMITED) cwndLimited = true;
        else if (defer === DEFER_RWND_LIMITED) rwndLimited = true;
        break;
      }
    }
    const limit = segs > 1 && tp.sndUna === tp.sndUp ? mssSplitPoint(tp, skb, mss, quota, nonagle) : mss;
    if (skb.len > limit && tcpFragment(tp, "write", skb, limit, mss) !== 0) break;
    if (tcpSmallQueueCheck(tp, skb, 0)) break;
    // An empty one was queued by a writer that waits for memory.
    if (skb.cb[at + CB_END_SEQ] === skb.cb[at + CB_SEQ]) break;
    if (__tcpTransmitSkb(tp, skb, true, tp.rcvNxt) !== 0) break;
    tcpEventNewDataSent(tp, skb);
    tcpMinshallUpdate(tp, mss, skb);
    sent += skb.cb[at + CB_PCOUNT];
    if (pushOne !== 0) break;
  }
  if (rwndLimited) tcpChronoStart(tp, TCP_CHRONO_RWND_LIMITED);
  else if (tp.chronoType === TCP_CHRONO_RWND_LIMITED) tcpChronoStop(tp, TCP_CHRONO_RWND_LIMITED);
  if (tp.packetsOut - (tp.sackedOut + tp.lostOut) + tp.retransOut >= tp.sndCwnd) cwndLimited = true;
  if (sent !== 0 || cwndLimited) tcpCwndValidate(tp, cwndLimited);
  if (sent !== 0) {
    if (tcpInCwndReduction(tp)) tp.prrOut += sent;
    if (pushOne !== 2) tcpScheduleLossProbe(tp, false);
    return false;
  }
  return tp.packetsOut === 0 && tp.writeHead !== null;
}

/** Sends what may go, and sees to it that a closed window is probed. Linux: __tcp_push_pending_frames(). */
export function __tcpPushPendingFrames(tp: TcpSock, mss: number, nonagle: number): void {
  if (tp.sk.state === TCP_CLOSE) return;
  if (tcpWriteXmitMss(tp, mss, nonagle, 0)) tcpCheckProbeTimer(tp);
}

/** The same with the connection's own settings. Linux: tcp_push_pending_frames(). */
export function tcpPushPendingFrames(tp: TcpSock): void {
  if (tp.writeHead !== null) __tcpPushPendingFrames(tp, tcpCurrentMss(tp), tp.nonagle);
}

/** Sends one segment that is complete. Linux: tcp_push_one(). */
export function tcpPushOne(tp: TcpSock, mss: number): void {
  if (tp.writeHead !== null) tcpWriteXmitMss(tp, mss, TCP_NAGLE_PUSH, 1);
}

/** Nothing is in flight, something waits: the window is probed in a while. Linux: tcp_check_probe_timer(). */
export function tcpCheckProbeTimer(tp: TcpSock): void {
  if (tp.packetsOut === 0 && tp.icskPending === 0) tcpResetXmitTimer(tp, ICSK_TIME_PROBE0, tcpProbe0Base(tp));
}

/** The data up to here is pushed. Linux: tcp_mark_push(). Borrows `skb`. */
export function tcpMarkPush(tp: TcpSock, skb: SkBuff): void {
  skb.cb[tp.st.cb + CB_FLAGS] |= TCPHDR_PSH;
  tp.pushedSeq = tp.writeSeq;
}

/** Half of the largest window is unpushed. Linux: forced_push(). */
export function tcpForcedPush(tp: TcpSock): boolean {
  return after(tp.writeSeq, (tp.pushedSeq + (tp.maxWindow >>> 1)) | 0);
}

/**
 * A small tail waits for more while packets of the connection are still below: their completion pushes it.
 * Linux: tcp_should_autocork(). Borrows `skb`.
 */
function shouldAutocork(tp: TcpSock, skb: SkBuff, sizeGoal: number): boolean {
  return skb.len < sizeGoal && tp.sk.wmemAlloc > skb.truesize && tp.st.sysctl.autocorking !== 0 &&
    tp.rtx !== null && tp.rtx.length !== 0 && (skb.cb[tp.st.cb + CB_FLAGS] & CB_F_EOR) === 0;
}

/** The end of a write: pushes unless more follows. `flags` are the MSG_* of the call. Linux: tcp_push(). */
export function tcpPush(tp: TcpSock, flags: number, mss: number, nonagle: number, sizeGoal: number): void {
  const skb = tp.writeTail;
  if (skb === null) return;
  if ((flags & MSG_MORE) === 0 || tcpForcedPush(tp)) tcpMarkPush(tp, skb);
  if ((flags & MSG_OOB) !== 0) tp.sndUp = tp.writeSeq;
  if (shouldAutocork(tp, skb, sizeGoal)) {
    if (!tp.tsqThrottled) tp.st.mib.tcpExt.TCPAutoCorking++;
    tp.tsqThrottled = true;
    return;
  }
  __tcpPushPendingFrames(tp, mss, (flags & MSG_MORE) !== 0 ? TCP_NAGLE_CORK : nonagle);
}

/** TCP_NODELAY: what waits goes. */
export function tcpPushNodelay(tp: TcpSock): void {
  if (tp.writeHead !== null) __tcpPushPendingFrames(tp, tcpCurrentMss(tp), TCP_NAGLE_OFF | TCP_NAGLE_PUSH);
}
