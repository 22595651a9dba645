/**
 * TCP Fast Open as client: the first write goes with the SYN, if the server gave us a cookie once; else the SYN asks for
 * one. RFC 7413. Linux: tcp_sendmsg_fastopen(), tcp_send_syn_data(), tcp_rcv_fastopen_synack(), net/ipv4/tcp_fastopen.c.
 */
import type { SkBuff } from "../../../core/mod.ts";
import * as core from "../../../core/mod.ts";
import type { MsgHdr } from "../sock/contract.ts";
import { __tcpTransmitSkb, tcpRtxQueue } from "./output.ts";
import * as contract from "./contract.ts";
import { tcpConnect } from "./control.ts";
import { tcpChronoStart } from "./cwnd_usage.ts";
import { tcpFastopenAddSkb } from "./fastopen.ts";
import {
  foOf,
  type TcpFastopenCookie,
  tcpFastopenCookie,
  tcpFastopenCopy,
  TFO_CLIENT_ENABLE,
  TFO_CLIENT_NO_COOKIE,
  TFO_COOKIE_UNAVAILABLE,
  TFO_DATA_NOT_ACKED,
  TFO_SYN_RETRANSMITTED,
} from "./fastopen_sock.ts";
import { skMemCharge, skWmemSchedule } from "./memory.ts";
import { __tcpMtuToMss, tcpMssClamp, tcpSyncMss } from "./mss.ts";
import { tcpMarkSkbLost, tcpNonCongestionLossRetransmit } from "./recovery.ts";
import { tcpMetricsOf } from "./route_metrics.ts";
import { inetStreamConnect, tcpSetState } from "./socket.ts";
import * as tcpSock from "./tcp_sock.ts";
import type { TcpSock } from "./tcp_sock.ts";

// Constants of the module's own are folded into machine code; an imported binding is loaded and checked at each use.
const { copyFromUser, ERRNO, NET_SKB_PAD, skbTruesize } = core;
const { TCP_CLOSE } = contract;
const {
  CB_END_SEQ,
  CB_FLAGS,
  CB_MSTAMP,
  CB_PCOUNT,
  CB_SEQ,
  TCP_CHRONO_BUSY,
  TCPHDR_ACK,
  TCPHDR_PSH,
} = tcpSock;

const EALREADY = -ERRNO.EALREADY;
const EINPROGRESS = -ERRNO.EINPROGRESS;
const EOPNOTSUPP = -ERRNO.EOPNOTSUPP;
/** Room for the options of those in between. */
const MAX_TCP_OPTION_SPACE = 40;
const MAX_TCP_HEADER = 320;

/** Clients do not, because of a path that swallows such SYNs. Linux: tcp_fastopen_active_should_disable(). */
function disabled(tp: TcpSock): boolean {
  const net = tp.st.fastopen;
  const seconds = tp.st.sysctl.fastopenBlackholeTimeout;
  if (seconds === 0 || net.disabledTimes === 0) return false;
  const length = seconds * 1000 * 2 ** Math.min(net.disabledTimes - 1, 6);
  return ((tp.st.machine.jiffies - net.disabledSince) | 0) < length;
}

/** A SYN of ours was swallowed: no more of them for a while, longer each time. Linux: tcp_fastopen_active_disable(). */
export function tcpFastopenActiveDisable(tp: TcpSock): void {
  const net = tp.st.fastopen;
  if (tp.st.sysctl.fastopenBlackholeTimeout === 0) return;
  net.disabledSince = tp.st.machine.jiffies;
  net.disabledTimes++;
  tp.st.mib.tcpExt.TCPFastOpenBlackhole++;
}

/**
 * Whether data may go with the SYN; fills the cookie, and gives the server's MSS where it is known, else `mss`; -1: no.
 * Linux: tcp_fastopen_cookie_check().
 */
function cookieCheck(tp: TcpSock, cookie: TcpFastopenCookie, mss: number): number {
  const known = tp.st.fastopen.find(tp.sk.saddr, tp.sk.daddr);
  cookie.len = 0;
  if (known !== null) {
    if (known.mss !== 0) mss = known.mss;
    tcpFastopenCopy(cookie, known.cookie);
    if (cookie.len < 0) cookie.len = 0;
    if (cookie.len === 0 && known.tryExp === 1) cookie.exp = true;
  }
  if (disabled(tp)) {
    cookie.len = -1;
    return -1;
  }
  if (
    (tp.st.sysctl.fastopen & TFO_CLIENT_NO_COOKIE) !== 0 || foOf(tp).noCookie ||
    tcpMetricsOf(tp.sk.dst)?.fastopenNoCookie === true
  ) {
    cookie.len = -1;
    return mss;
  }
  if (cookie.len > 0) return mss;
  foOf(tp).clientFail = TFO_COOKIE_UNAVAILABLE;
  return -1;
}

/**
 * connect() of a socket with TCP_FASTOPEN_CONNECT: true: it waits for the first write; else its SYN asks for a cookie.
 * Linux: tcp_fastopen_defer_connect().
 */
export function tcpFastopenDeferConnect(tp: TcpSock): boolean {
  const fo = tp.fo;
  if (fo === null || !fo.connect || fo.request !== null) return false;
  const cookie = tcpFastopenCookie();
  if (cookieCheck(tp, cookie, 0) >= 0) {
    fo.deferConnect = true;
    return true;
  }
  fo.request = { cookie, msg: null, copied: 0 };
  return false;
}

/**
 * The first write of a socket that is not connected: bytes that went with the SYN; 0: it is connected, the write goes on
 * as usual; or a negative errno, -EINPROGRESS: the SYN went without. Linux: tcp_sendmsg_fastopen().
 */
export function tcpSendmsgFastopen(tp: TcpSock, msg: MsgHdr): number {
  const sk = tp.sk;
  if ((tp.st.sysctl.fastopen & TFO_CLIENT_ENABLE) === 0) return EOPNOTSUPP;
  const fo = foOf(tp);
  if (fo.request !== null) return EALREADY;
  const request = { cookie: tcpFastopenCookie(), msg, copied: 0 };
  fo.request = request;
  if (fo.deferConnect) {
    const err = tcpConnect(tp);
    if (err !== 0) {
      tcpSetState(tp, TCP_CLOSE);
      sk.dport = 0;
    }
  }
  const err = inetStreamConnect(tp.st, sk, msg.addr, msg.port, true);
  fo.request = null;
  fo.deferConnect = false;
  return err === EINPROGRESS && request.copied > 0 ? request.copied : err;
}

/** Sends the SYN that is in the queue with data and a cookie, or with the question for one. Linux: tcp_send_syn_data(). Borrows `syn`. */
export function tcpSendSynData(tp: TcpSock, syn: SkBuff): number {
  const fo = foOf(tp);
  const request = fo.request!;
  tp.mssClamp = tp.advmss;
  const mss = cookieCheck(tp, request.cookie, tp.mssClamp);
  let err = -1;
  if (mss >= 0) {
    tp.mssClamp = tcpMssClamp(tp, mss);
    tcpSyncMss(tp, tp.pmtuCookie);
    const data = synData(tp, syn);
    if (data !== null) {
      err = sendBoth(tp, syn, data);
      request.cookie.len = -1;
      return err;
    }
  }
  if (request.cookie.len > 0) request.cookie.len = 0;
  err = __tcpTransmitSkb(tp, syn, true, 0);
  if (err !== 0) fo.synFastopen = false;
  request.cookie.len = -1;
  return err;
}

/** A SYN with as much as fits; null: no memory. */
function synData(tp: TcpSock, syn: SkBuff): SkBuff | null {
  const st = tp.st;
  const c = st.cb;
  const request = foOf(tp).request!;
  const msg = request.msg;
  const skb = st.skbs.alloc(NET_SKB_PAD, skbTruesize(MAX_TCP_HEADER));
  if (skb === null) return null;
  skb.reserve(NET_SKB_PAD);
  for (let i = c; i < c + tcpSock.TCP_CB_WORDS; i++) skb.cb[i] = syn.cb[i];
  let space = Math.max(0, __tcpMtuToMss(tp, tp.pmtuCookie) - MAX_TCP_OPTION_SPACE);
  space = msg === null ? 0 : Math.min(space, msg.len);
  if (space > 0 && msg !== null) {
    const n = skWmemSchedule(tp, skb.truesize + space) ? st.skbs.addPage(skb, space) : 0;
    if (n !== space) {
      skb.consume();
      return null;
    }
    const frag = skb.frags[0];
    copyFromUser(st.ledger, st.siteSendmsg, frag.slab, frag.offset, msg.buf, msg.off, space);
  }
  request.copied = space;
  return skb;
}

/** The SYN and its data leave as one, and stay in the queue as two: what goes again goes apart. */
function sendBoth(tp: TcpSock, syn: SkBuff, data: SkBuff): number {
  const st = tp.st;
  const c = st.cb;
  const fo = foOf(tp);
  const copied = fo.request!.copied;
  data.cb[c + CB_END_SEQ] = (syn.cb[c + CB_END_SEQ] + copied) | 0;
  data.cb[c + CB_PCOUNT] = 1;
  if (copied === 0) {
    // Nothing but the cookie: one packet, and nothing of it but the SYN to be sent again.
    data.consume();
    return __tcpTransmitSkb(tp, syn, true, 0);
  }
  tp.wmemQueued += data.truesize;
  skMemCharge(tp, data.truesize);
  tp.writeSeq = data.cb[c + CB_END_SEQ];
  tp.packetsOut++;
  tcpChronoStart(tp, TCP_CHRONO_BUSY);
  const err = __tcpTransmitSkb(tp, data, true, 0);
  syn.cb[c + CB_MSTAMP] = data.cb[c + CB_MSTAMP];
  data.cb[c + CB_SEQ] = (data.cb[c + CB_SEQ] + 1) | 0;
  data.cb[c + CB_FLAGS] = (data.cb[c + CB_FLAGS] & ~0x1ff) | TCPHDR_ACK | TCPHDR_PSH;
  fo.synData = true;
  tcpRtxQueue(tp).push(data);
  st.mib.tcpExt.TCPOrigDataSent++;
  return err;
}

/**
 * The SYN-ACK of a connection whose SYN had the option: keeps the cookie; data that was not taken goes again, and then it
 * is true: there is no ACK to be sent. Linux: tcp_rcv_fastopen_synack(). Borrows `skb`.
 */
export function tcpRcvFastopenSynack(tp: TcpSock, skb: SkBuff): boolean {
  const st = tp.st;
  const fo = foOf(tp);
  const opt = st.rxOpt;
  const data = fo.synData && tp.rtx !== null ? tp.rtx.head : null;
  let len = opt.fastOpenLen;
  let tryExp = 0;
  if (!fo.synFastopen) len = -1;
  else if (tp.totalRetrans === 0 && len < 0 && !fo.synData) tryExp = fo.synFastopenExp ? 2 : 1;
  const m = st.fastopen.of(tp.sk.saddr, tp.sk.daddr);
  const mss = tp.opt.userMss !== 0 && tp.mssClamp === tp.opt.userMss ? opt.mss : tp.mssClamp;
  if (mss !== 0) m.mss = mss;
  if (len > 0) {
    m.cookie.len = len;
    m.cookie.exp = opt.fastOpenExp;
    for (let i = 0; i < len; i++) m.cookie.val[i] = skb.bytes[opt.fastOpenAt + i];
  } else if (tryExp > m.tryExp && m.cookie.len <= 0 && !m.cookie.exp) m.tryExp = tryExp;
  if (data !== null) {
    fo.clientFail = tp.totalRetrans !== 0 ? TFO_SYN_RETRANSMITTED : TFO_DATA_NOT_ACKED;
    const rtx = tp.rtx!;
    for (let i = 0; i < rtx.length; i++) tcpMarkSkbLost(tp, rtx.at(i));
    tcpNonCongestionLossRetransmit(tp);
    st.mib.tcpExt.TCPFastOpenActiveFail++;
    return true;
  }
  if (fo.synData) {
    fo.synDataAcked = true;
    st.mib.tcpExt.TCPFastOpenActive++;
    // The SYN and its data are one packet.
    if (tp.delivered > 1) tp.delivered--;
    // A path that takes them: the next failure is the first again.
    st.fastopen.disabledTimes = 0;
  }
  const acked = fo.synDataAcked;
  tcpFastopenAddSkb(tp, skb);
  fo.synDataAcked = acked;
  return false;
}
