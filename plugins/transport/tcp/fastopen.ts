/**
 * TCP Fast Open as server: a SYN with a cookie that we gave makes a socket at once, and its data can be read and answered
 * before the handshake is complete. RFC 7413. Linux: net/ipv4/tcp_fastopen.c.
 *
 * The request stays with the socket until the ACK comes (`tp.fastopenRsk`): it repeats the SYN-ACK. Cookies are SipHash of
 * both addresses under a key that servers behind one address share.
 */
import type { SkBuff, SysctlTree } from "../../../core/mod.ts";
import * as sock from "../sock/contract.ts";
import { tcpSendSynack } from "./control.ts";
import {
  foOf,
  reqskFastopenRemove,
  type TcpFastopenCookie,
  tcpFastopenCookie,
  TFO_SERVER_COOKIE_NOT_REQD,
  TFO_SERVER_ENABLE,
  TFO_SERVER_WO_SOCKOPT1,
} from "./fastopen_sock.ts";
import * as input from "./input.ts";
import { tcpV4SendAck, tcpV4SendReset } from "./ipv4.ts";
import { tcpV4SynRecvSock } from "./minisocks.ts";
import { tcpParseOptions } from "./options.ts";
import { tcpEnterLoss } from "./recovery.ts";
import { tcpRequestFree, type TcpRequestSock, tcpRtxSynack } from "./request.ts";
import { tcpMetricsOf } from "./route_metrics.ts";
import { siphash, type SipKey, sipKey } from "./secure_seq.ts";
import { tcpOowRateLimited, tcpPawsReject } from "./state.ts";
import * as tcpSock from "./tcp_sock.ts";
import type { TcpSock } from "./tcp_sock.ts";
import type { TcpState } from "./tcp_state.ts";
import { tcpResetXmitTimer, tcpWriteErr } from "./timer.ts";
import { tcpInWindow } from "./timewait.ts";
import { skForcedMemSchedule } from "./memory.ts";
import * as receiveQueue from "./receive_queue.ts";

const { skDataReady } = sock;
const {
  between,
  CB_END_SEQ,
  CB_FLAGS,
  CB_SEQ,
  ICSK_TIME_RETRANS,
  TCP_TIMEOUT_INIT,
  TCPHDR_ACK,
  TCPHDR_FIN,
  TCPHDR_RST,
  TCPHDR_SYN,
  tcpTimeStampMs,
} = tcpSock;

const COOKIE_SIZE = 8;
const TCP_FLAG_WORD = 12, TCP_WINDOW = 14, IP_TOS_AT = 1;
const FLAGS = TCPHDR_RST | TCPHDR_SYN | TCPHDR_ACK;

function swap(word: number): number {
  return (word << 24) | ((word & 0xff00) << 8) | ((word >>> 8) & 0xff00) | (word >>> 24);
}

/** The key of a listener's cookies. Linux: tcp_fastopen_get_ctx(), tcp_fastopen_init_key_once(). */
function keyOf(tp: TcpSock): SipKey {
  const st = tp.st;
  return tp.fo?.key ?? (st.fastopen.key ??= sipKey(st.machine.platform));
}

/** A key from TCP_FASTOPEN_KEY's 16 bytes; null: it has another length. */
export function tcpFastopenKey(bytes: string): SipKey | null {
  if (bytes.length !== 16) return null;
  const word = (i: number): number =>
    bytes.charCodeAt(i) | (bytes.charCodeAt(i + 1) << 8) | (bytes.charCodeAt(i + 2) << 16) |
    (bytes.charCodeAt(i + 3) << 24);
  return Int32Array.of(word(0), word(4), word(8), word(12));
}

/** The cookie of a peer. Linux: __tcp_fastopen_cookie_gen_cipher(). */
function cookieGen(tp: TcpSock, req: TcpRequestSock): TcpFastopenCookie {
  const hashed = new Int32Array(2);
  siphash(hashed, keyOf(tp), swap(req.daddr), swap(req.saddr), 0, 0, 2);
  const cookie = tcpFastopenCookie();
  cookie.len = COOKIE_SIZE;
  for (let i = 0; i < COOKIE_SIZE; i++) cookie.val[i] = hashed[i >> 2] >>> ((i & 3) << 3);
  return cookie;
}

/** Whether a listener does it: at most so many at once. Linux: fastopen_queue_tune(). */
export function tcpFastopenQueueTune(tp: TcpSock, backlog: number): void {
  foOf(tp).maxQlen = Math.min(backlog, tp.st.socks.limits.somaxconn);
}

/** listen(): without TCP_FASTOPEN where the sysctl says so. Linux: inet_listen(). */
export function tcpFastopenListen(tp: TcpSock, backlog: number): void {
  const bits = TFO_SERVER_WO_SOCKOPT1 | TFO_SERVER_ENABLE;
  if ((tp.st.sysctl.fastopen & bits) === bits && (tp.fo === null || tp.fo.maxQlen === 0)) {
    tcpFastopenQueueTune(tp, backlog);
  }
}

/** Linux: tcp_fastopen_queue_check(). */
function queueCheck(tp: TcpSock): boolean {
  const fo = tp.fo;
  if (fo === null || fo.maxQlen === 0) return false;
  if (fo.qlen < fo.maxQlen) return true;
  const now = tp.st.machine.jiffies;
  if (fo.rst.length === 0 || ((fo.rst[0] - now) | 0) > 0) {
    tp.st.mib.tcpExt.TCPFastOpenListenOverflow++;
    return false;
  }
  fo.rst.shift();
  fo.qlen--;
  return true;
}

/**
 * A SYN for a listener: a socket where it may send data at once, whose SYN-ACK is still to be sent; null: an ordinary
 * request, with a cookie in its SYN-ACK where one was asked for. Linux: tcp_try_fastopen(). Borrows `skb`.
 */
export function tcpTryFastopen(tp: TcpSock, skb: SkBuff, req: TcpRequestSock): TcpSock | null {
  const st = tp.st;
  const opt = st.rxOpt;
  const ext = st.mib.tcpExt;
  const len = opt.fastOpenLen;
  const c = st.cb;
  req.foc = null;
  const synData = skb.cb[c + CB_END_SEQ] !== ((skb.cb[c + CB_SEQ] + 1) | 0);
  if (len < 0 && !synData) return null;
  if (len === 0) ext.TCPFastOpenCookieReqd++;
  if ((st.sysctl.fastopen & TFO_SERVER_ENABLE) === 0 || !queueCheck(tp)) return null;
  const free = (st.sysctl.fastopen & TFO_SERVER_COOKIE_NOT_REQD) !== 0 || tp.fo!.noCookie ||
    tcpMetricsOf(req.dst)?.fastopenNoCookie === true;
  if (!free && len < 0) return null;
  const exp = opt.fastOpenExp;
  const valid = free ? null : cookieGen(tp, req);
  let same = valid !== null && len === valid.len;
  for (let i = 0; same && i < COOKIE_SIZE; i++) same = skb.bytes[opt.fastOpenAt + i] === valid!.val[i];
  if (free || same) {
    const child = createChild(tp, skb, req);
    if (child !== null) {
      ext.TCPFastOpenPassive++;
      return child;
    }
    ext.TCPFastOpenPassiveFail++;
  } else if (len > 0) ext.TCPFastOpenPassiveFail++;
  if (valid !== null) {
    valid.exp = exp;
    req.foc = valid;
  }
  return null;
}

/** The socket, in SYN-RECV, with the data of the SYN. Linux: tcp_fastopen_create_child(). Borrows `skb`. */
function createChild(tp: TcpSock, skb: SkBuff, req: TcpRequestSock): TcpSock | null {
  const child = tcpV4SynRecvSock(tp, skb, req);
  if (child === null) return null;
  foOf(tp).qlen++;
  child.fastopenRsk = req;
  foOf(child).child = true;
  // RFC 7323 section 2.2: the window of a SYN is never scaled.
  child.sndWnd = child.maxWindow = skb.view.getUint16(skb.transportHeader + TCP_WINDOW);
  tcpResetXmitTimer(child, ICSK_TIME_RETRANS, TCP_TIMEOUT_INIT);
  tcpSock.tcpMstampRefresh(child);
  input.tcpInitTransfer(child);
  child.rcvNxt = (skb.cb[tp.st.cb + CB_SEQ] + 1) | 0;
  child.copiedSeq = child.rcvNxt;
  tcpFastopenAddSkb(child, skb);
  req.rcvNxt = child.rcvNxt;
  child.rcvWup = child.rcvNxt;
  return child;
}

/** The data of a SYN or SYN-ACK is received. Linux: tcp_fastopen_add_skb(). Borrows `skb`. */
export function tcpFastopenAddSkb(tp: TcpSock, skb: SkBuff): void {
  const st = tp.st;
  const c = st.cb;
  if (skb.cb[c + CB_END_SEQ] === tp.rcvNxt) return;
  const twin = skb.clone();
  if (twin === null) return;
  twin.dst = null;
  twin.pull(twin.view.getUint8(twin.transportHeader + TCP_FLAG_WORD) >> 4 << 2);
  twin.cb[c + CB_SEQ] = (skb.cb[c + CB_SEQ] + 1) | 0;
  twin.cb[c + CB_END_SEQ] = skb.cb[c + CB_END_SEQ];
  twin.cb[c + CB_FLAGS] = skb.cb[c + CB_FLAGS] & ~TCPHDR_SYN;
  skForcedMemSchedule(tp, twin.truesize);
  tp.segsIn = 1;
  tp.dataSegsIn = 1;
  const fin = (twin.cb[c + CB_FLAGS] & TCPHDR_FIN) !== 0;
  const len = twin.len;
  if (receiveQueue.tcpQueueRcv(tp, twin)) twin.consume();
  foOf(tp).synDataAcked = true;
  tp.bytesReceived = len;
  if (fin) input.tcpFin(tp);
}

/** Ends the request of a socket before its handshake. */
export function tcpFastopenRemove(tp: TcpSock, reset: boolean): void {
  reqskFastopenRemove(tp, reset, (req) => tcpRequestFree(tp.st, req));
}

/**
 * A segment for a socket whose handshake is not complete: 0: it is looked at as any other; or why it is dropped, answered
 * as it must be. Linux: tcp_check_req() with `fastopen`. Borrows `skb`.
 */
export function tcpFastopenCheckReq(tp: TcpSock, skb: SkBuff): number {
  const st = tp.st;
  const req = tp.fastopenRsk!;
  const c = st.cb;
  const seq = skb.cb[c + CB_SEQ];
  const word = skb.view.getInt32(skb.transportHeader + TCP_FLAG_WORD);
  let flags = word >>> 16 & FLAGS;
  const opt = st.rxOpt;
  opt.sawTstamp = false;
  let paws = false;
  let tsecr = false;
  if (word >>> 28 > 5) {
    tcpParseOptions(st, skb, opt, false);
    if (opt.sawTstamp) {
      if (opt.rcvTsecr !== 0 && req.tstampOk) tsecr = !between(opt.rcvTsecr, req.sntTsvalFirst, req.sntTsvalLast);
      const now = Math.floor(st.machine.now / 1e9);
      paws = tcpPawsReject(req.tsRecent, now - 1, opt.rcvTsval, now, (flags & TCPHDR_RST) !== 0);
    }
  }
  if (seq === req.rcvIsn && flags === TCPHDR_SYN && !paws) {
    if (!limited(st, req)) tcpRtxSynack(st, req, tp);
    return st.reason.TCP_FLAGS;
  }
  const window = Math.min(req.rskRcvWnd, 0xffff);
  if (paws || tsecr || !tcpInWindow(seq, skb.cb[c + CB_END_SEQ], req.rcvNxt, (req.rcvNxt + window) | 0)) {
    if ((flags & TCPHDR_RST) === 0 && !limited(st, req)) answer(st, skb, req, window);
    return paws ? st.reason.TCP_RFC7323_PAWS : tsecr ? st.reason.TCP_RFC7323_TSECR : st.reason.TCP_OVERWINDOW;
  }
  if (seq === req.rcvIsn) flags &= ~TCPHDR_SYN;
  if ((flags & (TCPHDR_RST | TCPHDR_SYN)) !== 0) {
    st.mib.tcp.AttemptFails++;
    if ((flags & TCPHDR_RST) === 0) tcpV4SendReset(st, skb, tp);
    else {
      tcpFastopenRemove(tp, true);
      input.tcpReset(tp, skb);
    }
    return st.reason.TCP_RESET;
  }
  return (flags & TCPHDR_ACK) === 0 ? st.reason.TCP_FLAGS : 0;
}

function limited(st: TcpState, req: TcpRequestSock): boolean {
  const now = st.machine.jiffies;
  if (tcpOowRateLimited(req.lastOowAckTime, now, st.sysctl.invalidRatelimit)) return true;
  req.lastOowAckTime = now || 1;
  return false;
}

function answer(st: TcpState, skb: SkBuff, req: TcpRequestSock, window: number): void {
  const tsval = req.tstampOk ? (tcpTimeStampMs(st.machine) + req.tsOff) | 0 : 0;
  const tos = skb.view.getUint8(skb.networkHeader + IP_TOS_AT);
  const { saddr, sport, daddr, dport } = req;
  const seq = (req.sntIsn + 1) | 0;
  const win = window >> req.rcvWscale;
  tcpV4SendAck(st, saddr, sport, daddr, dport, seq, req.rcvNxt, win, tsval, req.tsRecent, req.boundDevIf, tos);
}

/** No ACK to the SYN-ACK: again, or the end. Linux: tcp_fastopen_synack_timer(). */
export function tcpFastopenSynackTimer(tp: TcpSock): void {
  const st = tp.st;
  const req = tp.fastopenRsk!;
  const retries = tp.opt.synackRetries !== 0 ? tp.opt.synackRetries : st.sysctl.synackRetries + 1;
  if (req.numTimeout >= retries) {
    tcpWriteErr(tp);
    return;
  }
  if (tp.icskRetransmits === 1) tcpEnterLoss(tp);
  st.mib.tcpExt.TCPTimeouts++;
  tcpRtxSynack(st, req, tp);
  req.numTimeout++;
  tp.icskRetransmits++;
  if (tp.retransStamp === 0) tp.retransStamp = tcpTimeStampMs(st.machine) || 1;
  tcpResetXmitTimer(tp, ICSK_TIME_RETRANS, TCP_TIMEOUT_INIT * 2 ** req.numTimeout);
}

/** Sends the SYN-ACK of a socket that a SYN made, and gives it to accept(). False: the listener does not listen any more. */
export function tcpFastopenDeliver(tp: TcpSock, child: TcpSock, add: (l: TcpSock, c: TcpSock) => boolean): void {
  const req = child.fastopenRsk!;
  tcpSendSynack(tp.st, req, child);
  if (add(tp, child)) skDataReady(tp.sk);
}

/** net.ipv4.tcp_fastopen_key: four words of 8 hexadecimal digits. */
export function tcpFastopenKeyText(st: TcpState): SysctlTree {
  const hex = (w: number): string => (w >>> 0).toString(16).padStart(8, "0");
  return {
    get: () => [...(st.fastopen.key ??= sipKey(st.machine.platform))].map(hex).join("-"),
    set: (_, _value, text) => {
      const words = text.trim().split("-");
      if (words.length !== 4 || !words.every((w) => /^[0-9a-f]{1,8}$/i.test(w))) {
        throw new RangeError(
          `Cannot set net.ipv4.tcp_fastopen_key to ${text}: it takes four words of 8 hexadecimal digits with - between`,
        );
      }
      st.fastopen.key = Int32Array.from(words, (w) => parseInt(w, 16) | 0);
      return true;
    },
    list: () => [""],
  };
}
