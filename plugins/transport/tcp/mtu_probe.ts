/**
 * The search for a larger path MTU: a segment larger than usual is sent, and its ACK proves that the path carries it.
 * RFC 4821. Linux: tcp_mtu_probe(), tcp_mtu_check_reprobe(), net/ipv4/tcp_output.c. Off unless net.ipv4.tcp_mtu_probing.
 *
 * Different from Linux: the probe is made of the queued segments by reference; one of more than 17 pieces is not sent.
 */
import { TCP_CA_OPEN } from "./contract.ts";
import { tcpCurrentMss, tcpMssToMtu, tcpMtuToMss } from "./mss.ts";
import { __tcpTransmitSkb, tcpEventNewDataSent, tcpWndEnd } from "./output.ts";
import { tcpFragment, tcpGrowSkb, tcpSetSkbTsoSegs } from "./retransmit.ts";
import * as tcpSock from "./tcp_sock.ts";
import type { TcpMtup, TcpSock } from "./tcp_sock.ts";

// Constants of the module's own are folded into machine code; an imported binding is loaded and checked at each use.
const { after, CB_END_SEQ, CB_SEQ, tcpPacketsInFlight } = tcpSock;

/** Bytes of IP and TCP header. */
const HEADERS = 40;
/** The window that a probe needs: its loss must not stall what follows. */
const CWND_MIN = 11;

/** 1: a probe was sent, 0: one waits to be sent and nothing else goes, -1: not now. */
export function tcpMtuProbe(tp: TcpSock): number {
  const mtup = tp.mtup;
  if (
    mtup === null || !mtup.enabled || mtup.probeSize !== 0 || tp.icskCaState !== TCP_CA_OPEN || tp.sndCwnd < CWND_MIN ||
    tp.numSacks !== 0 || tp.hasDsack
  ) return -1;
  const size = tcpMtuToMss(tp, (mtup.searchHigh + mtup.searchLow) >> 1);
  const interval = mtup.searchHigh - mtup.searchLow;
  if (size > tcpMtuToMss(tp, mtup.searchHigh) || interval < Math.max(1, tp.st.sysctl.probeThreshold)) {
    checkReprobe(tp, mtup);
    return -1;
  }
  // Enough must follow it for duplicate ACKs to show its loss.
  const needed = size + (tp.reordering + 1) * tp.mssCache;
  if (((tp.writeSeq - tp.sndNxt) | 0) < needed || tp.sndWnd < needed) return -1;
  if (after((tp.sndNxt + needed) | 0, tcpWndEnd(tp))) return 0;
  const inFlight = tcpPacketsInFlight(tp);
  if (inFlight + 2 > tp.sndCwnd) return inFlight === 0 ? -1 : 0;
  return sendProbe(tp, mtup, size) ? 1 : -1;
}

/** Makes the head of the queue `size` bytes long, and sends it as one segment. */
function sendProbe(tp: TcpSock, mtup: TcpMtup, size: number): boolean {
  const skb = tp.writeHead;
  if (skb === null) return false;
  while (skb.len < size && skb.next !== null) {
    const before = skb.len;
    tcpGrowSkb(tp, skb, size - skb.len);
    if (skb.len === before) return false;
  }
  if (skb.len < size) return false;
  if (skb.len > size && tcpFragment(tp, "write", skb, size, tcpCurrentMss(tp)) !== 0) return false;
  tcpSetSkbTsoSegs(tp, skb, size);
  if (__tcpTransmitSkb(tp, skb, true, tp.rcvNxt) !== 0) return false;
  const c = tp.st.cb;
  // It takes the place of one segment of usual size.
  tp.sndCwnd--;
  mtup.probeSize = tcpMssToMtu(tp, size);
  mtup.seqStart = skb.cb[c + CB_SEQ];
  mtup.seqEnd = skb.cb[c + CB_END_SEQ];
  tcpEventNewDataSent(tp, skb);
  return true;
}

/** The search ended a while ago: the path may be another now. */
function checkReprobe(tp: TcpSock, mtup: TcpMtup): void {
  const now = tp.st.machine.jiffies;
  if (((now - mtup.probeTimestamp) | 0) < tp.st.sysctl.probeInterval * 1000) return;
  mtup.probeSize = 0;
  mtup.searchHigh = tp.mssClamp + HEADERS;
  mtup.searchLow = tcpMssToMtu(tp, tcpCurrentMss(tp));
  mtup.probeTimestamp = now;
}
