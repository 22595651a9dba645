/**
 * The window that we offer: how large, and when it may grow, so that no silly window is told. RFC 9293 section 3.8.6.2,
 * RFC 7323 section 2. Linux: tcp_select_window(), __tcp_select_window(), net/ipv4/tcp_output.c.
 */
import type { TcpSock } from "./tcp_sock.ts";
import * as tcpSock from "./tcp_sock.ts";
import type { TcpState } from "./tcp_state.ts";

// Constants of the module's own are folded into machine code; an imported binding is loaded and checked at each use.
const { ICSK_ACK_NOMEM, MAX_TCP_WINDOW, TCP_MAX_WSCALE } = tcpSock;

const U16_MAX = 65535;
/** TCP_RMEM_TO_WIN_SCALE: the ratio is of 256. */
const RMEM_TO_WIN_SCALE = 256;

/** Payload bytes that `space` bytes of receive memory hold. Linux: tcp_win_from_space(). */
export function tcpWinFromSpace(tp: TcpSock, space: number): number {
  return Math.floor(space * tp.scalingRatio / RMEM_TO_WIN_SCALE);
}

/** Receive memory that `win` bytes of payload need. Linux: tcp_space_from_win(). */
export function tcpSpaceFromWin(tp: TcpSock, win: number): number {
  return Math.floor(win * RMEM_TO_WIN_SCALE / tp.scalingRatio);
}

/** Payload bytes that still fit. Linux: tcp_space(). */
export function tcpSpace(tp: TcpSock): number {
  const sk = tp.sk;
  return Math.floor((sk.rcvbuf - sk.rmemAlloc) * tp.scalingRatio / RMEM_TO_WIN_SCALE);
}

/** Payload bytes that the whole buffer holds. Linux: tcp_full_space(). */
export function tcpFullSpace(tp: TcpSock): number {
  return Math.floor(tp.sk.rcvbuf * tp.scalingRatio / RMEM_TO_WIN_SCALE);
}

/** What is left of the window that was told last, bytes. Linux: tcp_receive_window(). */
export function tcpReceiveWindow(tp: TcpSock): number {
  const win = (tp.rcvWup + tp.rcvWnd - tp.rcvNxt) | 0;
  return win < 0 ? 0 : win;
}

/** Linux: tcp_adjust_rcv_ssthresh(): under memory pressure the window is four segments. */
function adjustRcvSsthresh(tp: TcpSock): void {
  if (tp.st.memoryPressure) tp.rcvSsthresh = Math.min(tp.rcvSsthresh, 4 * tp.advmss);
}

/**
 * The window that is to be told, bytes. It grows in steps of a segment at least (RFC 1122 section 4.2.3.3), and what is
 * below a sixteenth of the buffer is told as 0. Linux: __tcp_select_window(), net/ipv4/tcp_output.c.
 */
export function __tcpSelectWindow(tp: TcpSock): number {
  let mss = tp.ackRcvMss;
  let free = tcpSpace(tp);
  const allowed = tcpFullSpace(tp);
  const full = Math.min(tp.windowClamp, allowed);
  if (mss > full) {
    mss = full;
    if (mss <= 0) return 0;
  }
  const unit = 1 << tp.rcvWscale;
  if (tp.rcvWscale !== 0 && tp.st.sysctl.shrinkWindow !== 0) return shrinkable(tp, free, full, allowed, mss, unit);
  if (free < full >> 1) {
    tp.ackQuick = 0;
    adjustRcvSsthresh(tp);
    // It may become the window, which must not grow by rounding.
    free -= free & (unit - 1);
    if (free < allowed >> 4 || free < mss) return 0;
  }
  if (free > tp.rcvSsthresh) free = tp.rcvSsthresh;
  if (tp.rcvWscale !== 0) return (free + unit - 1) & -unit;
  const window = tp.rcvWnd;
  if (window <= free - mss || window > free) return free - free % mss;
  if (mss === full && free > window + (full >> 1)) return free;
  return window;
}

/** tcp_shrink_window is set: the window is what there is, although it takes back what was told. */
function shrinkable(tp: TcpSock, free: number, full: number, allowed: number, mss: number, unit: number): number {
  free -= free & (unit - 1);
  if (free < full >> 1) {
    tp.ackQuick = 0;
    adjustRcvSsthresh(tp);
    if (free < allowed >> 4 || free < mss || free < unit) return 0;
  }
  return free > tp.rcvSsthresh ? (tp.rcvSsthresh + unit - 1) & -unit : free;
}

/**
 * Chooses the window, notes it, and gives the 16 bits of the header. What was told once is not taken back (RFC 9293
 * section 3.8.6.2.2) unless tcp_shrink_window is set. Linux: tcp_select_window(), net/ipv4/tcp_output.c.
 */
export function tcpSelectWindow(tp: TcpSock): number {
  const st = tp.st;
  const old = tp.rcvWnd;
  if ((tp.ackPending & ICSK_ACK_NOMEM) !== 0) {
    tp.predFlags = 0;
    tp.rcvWnd = 0;
    tp.rcvWup = tp.rcvNxt;
    return 0;
  }
  const shift = tp.rcvWscale;
  const current = tcpReceiveWindow(tp);
  let win = __tcpSelectWindow(tp);
  if (win < current && (st.sysctl.shrinkWindow === 0 || shift === 0)) {
    if (win === 0) st.mib.tcpExt.TCPWantZeroWindowAdv++;
    win = (current + (1 << shift) - 1) & -(1 << shift);
  }
  tp.rcvWnd = win;
  tp.rcvWup = tp.rcvNxt;
  const most = shift === 0 && st.sysctl.workaroundSignedWindows !== 0 ? MAX_TCP_WINDOW : U16_MAX << shift;
  if (win > most) win = most;
  win >>>= shift;
  if (win === 0) {
    tp.predFlags = 0;
    if (old !== 0) st.mib.tcpExt.TCPToZeroWindowAdv++;
  } else if (old === 0) st.mib.tcpExt.TCPFromZeroWindowAdv++;
  return win;
}

/** What {@linkcode tcpSelectInitialWindow} gives: the caller's record. */
export interface InitialWindow {
  /** Window of the SYN, bytes. */
  rcvWnd: number;
  /** Its upper bound. In: the bound wanted, 0: none. */
  windowClamp: number;
  /** Shift. */
  rcvWscale: number;
}

/**
 * The window of a SYN or SYN-ACK: what `space` bytes of payload room give in whole segments of `mss`, and the shift that
 * lets it grow to the largest buffer there may be. `initRcvWnd`: segments, 0: no bound. `rmemMax`: net.core.rmem_max.
 * Linux: tcp_select_initial_window(), net/ipv4/tcp_output.c.
 */
export function tcpSelectInitialWindow(
  st: TcpState,
  space: number,
  mss: number,
  wscaleOk: boolean,
  initRcvWnd: number,
  rmemMax: number,
  out: InitialWindow,
): void {
  if (out.windowClamp === 0) out.windowClamp = U16_MAX << TCP_MAX_WSCALE;
  space = Math.min(out.windowClamp, Math.max(0, space));
  if (space > mss) space -= space % mss;
  out.rcvWnd = st.sysctl.workaroundSignedWindows !== 0 ? Math.min(space, MAX_TCP_WINDOW) : space;
  if (initRcvWnd !== 0) out.rcvWnd = Math.min(out.rcvWnd, initRcvWnd * mss);
  out.rcvWscale = 0;
  if (wscaleOk) {
    const most = Math.min(Math.max(space, st.sysctl.rmem[2], rmemMax), out.windowClamp);
    out.rcvWscale = Math.min(TCP_MAX_WSCALE, Math.max(0, 31 - Math.clz32(most) - 15));
  }
  const { rcvWscale, windowClamp } = out;
  // esbuild 0.25 reads `<< x, out` as type parameters, so the shift does not stand before a variable of that name.
  out.windowClamp = Math.min(windowClamp, U16_MAX << rcvWscale);
}
