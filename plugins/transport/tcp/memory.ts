/**
 * Memory of TCP: what sockets may queue, one by one and together, and how many nobody owns. Linux: net/core/sock.c
 * (sk_mem_*), net/core/stream.c, net/ipv4/tcp_input.c.
 *
 * A socket reserves in pages from the net (`memoryAllocated`) and spends in bytes from its own reserve (`forwardAlloc`).
 */
import type { SkBuff } from "../../../core/mod.ts";
import * as sock from "../sock/contract.ts";
import * as tcpSock from "./tcp_sock.ts";
import type { TcpSock } from "./tcp_sock.ts";
import type { TcpState } from "./tcp_state.ts";

// Constants of the module's own are folded into machine code; an imported binding is loaded and checked at each use.
const { skWriteSpace, SOCK_SNDBUF_LOCK, SOCK_MIN_SNDBUF } = sock;
const { TCP_INIT_CWND, tcpPacketsInFlight } = tcpSock;

const PAGE_SHIFT = 12;
const PAGE_SIZE = 4096;
/** MAX_TCP_HEADER on x86-64. */
const MAX_TCP_HEADER = 320;
/** SKB_DATA_ALIGN(sizeof(struct skb_shared_info)), SKB_DATA_ALIGN(sizeof(struct sk_buff)). */
const SIZEOF_SHINFO = 320;
const SIZEOF_SK_BUFF = 256;

function pagesOf(bytes: number): number {
  return (bytes + PAGE_SIZE - 1) >>> PAGE_SHIFT;
}

/** Limit 0, 1 or 2 of net.ipv4.tcp_mem in bytes. */
function limit(st: TcpState, i: number): number {
  return st.sysctl.mem[i] * PAGE_SIZE;
}

/** Linux: tcp_enter_memory_pressure(). */
export function tcpEnterMemoryPressure(st: TcpState): void {
  if (st.memoryPressure) return;
  st.memoryPressure = true;
  st.pressureSince = st.machine.jiffies;
  st.mib.tcpExt.TCPMemoryPressures++;
}

/** Linux: tcp_leave_memory_pressure(). */
function tcpLeaveMemoryPressure(st: TcpState): void {
  if (!st.memoryPressure) return;
  st.memoryPressure = false;
  st.mib.tcpExt.TCPMemoryPressuresChrono += (st.machine.jiffies - st.pressureSince) | 0;
}

/**
 * Reserves at least `size` more bytes. Under the first limit always; above it fairly; above the last one only what keeps a
 * socket moving. Linux: __sk_mem_schedule(), __sk_mem_raise_allocated(), net/core/sock.c.
 */
function memSchedule(tp: TcpSock, size: number, receive: boolean): boolean {
  const st = tp.st;
  const amount = pagesOf(size - tp.forwardAlloc) << PAGE_SHIFT;
  const allocated = st.memoryAllocated + amount;
  if (allocated <= limit(st, 0)) tcpLeaveMemoryPressure(st);
  else if (!mayRaise(tp, size, allocated, receive)) return false;
  st.memoryAllocated = allocated;
  tp.forwardAlloc += amount;
  return true;
}

function mayRaise(tp: TcpSock, size: number, allocated: number, receive: boolean): boolean {
  const st = tp.st;
  const sk = tp.sk;
  if (allocated > limit(st, 1)) tcpEnterMemoryPressure(st);
  if (allocated <= limit(st, 2)) {
    if (receive ? sk.rmemAlloc < st.sysctl.rmem[0] : tp.wmemQueued < st.sysctl.wmem[0]) return true;
    if (!st.memoryPressure) return true;
    // Fair under pressure: whoever uses less than the average may grow.
    const used = pagesOf(tp.wmemQueued + sk.rmemAlloc + tp.forwardAlloc);
    if (st.sysctl.mem[2] > st.socketsAllocated * used) return true;
  }
  if (receive) return false;
  skStreamModerateSndbuf(tp);
  // Above its send buffer it would wait anyway: only below it must fail.
  return tp.wmemQueued + size >= sk.sndbuf;
}

/** Whether `size` bytes more may be received. Linux: sk_rmem_schedule(). */
export function skRmemSchedule(tp: TcpSock, size: number): boolean {
  return size <= tp.forwardAlloc || memSchedule(tp, size, true);
}

/** Whether `size` bytes more may be queued to be sent. Linux: sk_wmem_schedule(). */
export function skWmemSchedule(tp: TcpSock, size: number): boolean {
  return size <= tp.forwardAlloc || memSchedule(tp, size, false);
}

/** Reserves whatever the limits say: a FIN must go. Linux: sk_forced_mem_schedule(). */
export function skForcedMemSchedule(tp: TcpSock, size: number): void {
  if (size <= tp.forwardAlloc) return;
  const amount = pagesOf(size - tp.forwardAlloc) << PAGE_SHIFT;
  tp.forwardAlloc += amount;
  tp.st.memoryAllocated += amount;
}

/**
 * How many of `size` bytes may be put into a segment: all, or where all sockets together have too many, what brings this one
 * to tcp_wmem[0], so that it moves on. Linux: tcp_wmem_schedule().
 */
export function tcpWmemSchedule(tp: TcpSock, size: number): number {
  if (skWmemSchedule(tp, size)) return size;
  const left = tp.st.sysctl.wmem[0] - tp.wmemQueued;
  if (left > 0) skForcedMemSchedule(tp, Math.min(left, size));
  return Math.min(size, tp.forwardAlloc);
}

/** Spends of the reserve. Linux: sk_mem_charge(). */
export function skMemCharge(tp: TcpSock, size: number): void {
  tp.forwardAlloc -= size;
}

/** Gives back to the reserve, and whole pages of it to the net. Linux: sk_mem_uncharge(). */
export function skMemUncharge(tp: TcpSock, size: number): void {
  tp.forwardAlloc += size;
  if (tp.forwardAlloc >= PAGE_SIZE) skMemReclaim(tp);
}

/** Whole pages of the reserve go back to the net. Linux: sk_mem_reclaim(). */
export function skMemReclaim(tp: TcpSock): void {
  const st = tp.st;
  const amount = tp.forwardAlloc >> PAGE_SHIFT << PAGE_SHIFT;
  if (amount <= 0) return;
  tp.forwardAlloc -= amount;
  st.memoryAllocated -= amount;
  if (st.memoryPressure && st.memoryAllocated < limit(st, 0)) tcpLeaveMemoryPressure(st);
}

/** The socket ends: all of the reserve goes back. Linux: sk_mem_reclaim_final(). */
export function skMemReclaimFinal(tp: TcpSock): void {
  const st = tp.st;
  skMemReclaim(tp);
  if (tp.forwardAlloc > 0) {
    // What is left of a page that was reserved for bytes that are gone.
    st.memoryAllocated -= tp.forwardAlloc;
    tp.forwardAlloc = 0;
  }
}

/** Half of what is queued, within the limits: memory is short. Linux: sk_stream_moderate_sndbuf(). */
export function skStreamModerateSndbuf(tp: TcpSock): void {
  const sk = tp.sk;
  if ((sk.userlocks & SOCK_SNDBUF_LOCK) !== 0) return;
  sk.sndbuf = Math.max(Math.min(sk.sndbuf, tp.wmemQueued >> 1), SOCK_MIN_SNDBUF);
}

/** Bytes not sent yet up to which the socket is writable. Linux: tcp_notsent_lowat(). */
function tcpNotsentLowat(tp: TcpSock): number {
  return tp.opt.notsentLowat !== 0 ? tp.opt.notsentLowat : tp.st.sysctl.notsentLowat;
}

/** Whether another segment may be queued; `wake` 1: for a writer that waits, a little later. Linux: __sk_stream_memory_free(). */
function memoryFree(tp: TcpSock, wake: number): boolean {
  if (tp.wmemQueued >= tp.sk.sndbuf) return false;
  const notSent = (tp.writeSeq - tp.sndNxt) | 0;
  return notSent * (1 << wake) < tcpNotsentLowat(tp);
}

/** Whether another segment may be queued. Linux: sk_stream_memory_free(). */
export function skStreamMemoryFree(tp: TcpSock): boolean {
  return memoryFree(tp, 0);
}

/** Whether poll() says writable: a third of the buffer is free. Linux: __sk_stream_is_writeable(sk, 1). */
export function skStreamIsWriteable(tp: TcpSock): boolean {
  return tp.sk.sndbuf - tp.wmemQueued >= tp.wmemQueued >> 1 && memoryFree(tp, 1);
}

/** Wakes a writer that found no room, when there is enough of it. Linux: sk_stream_write_space(). */
export function skStreamWriteSpace(tp: TcpSock): void {
  const sk = tp.sk;
  if (sk.dead || !skStreamIsWriteable(tp)) return;
  sk.nospace = false;
  skWriteSpace(sk);
}

/** An ACK freed something: the buffer may grow, and a writer may go on. Linux: tcp_check_space(), tcp_new_space(). */
export function tcpCheckSpace(tp: TcpSock): void {
  if (!tp.sk.nospace) return;
  if (tcpShouldExpandSndbuf(tp)) {
    tcpSndbufExpand(tp);
    tp.sndCwndStamp = tp.st.machine.jiffies;
  }
  skStreamWriteSpace(tp);
}

/** Linux: tcp_should_expand_sndbuf(). */
function tcpShouldExpandSndbuf(tp: TcpSock): boolean {
  const st = tp.st;
  if ((tp.sk.userlocks & SOCK_SNDBUF_LOCK) !== 0 || st.memoryPressure) return false;
  if (st.memoryAllocated >= limit(st, 0)) return false;
  return tcpPacketsInFlight(tp) < tp.sndCwnd;
}

/** Room for twice the congestion window in segments as memory counts them. Linux: tcp_sndbuf_expand(). */
export function tcpSndbufExpand(tp: TcpSock): void {
  const sk = tp.sk;
  const bytes = Math.max(tp.mssClamp, tp.mssCache) + MAX_TCP_HEADER + SIZEOF_SHINFO;
  let perMss = 1 << 32 - Math.clz32(bytes - 1);
  perMss += SIZEOF_SK_BUFF;
  const segments = Math.max(TCP_INIT_CWND, tp.sndCwnd, tp.reordering + 1);
  const wanted = 2 * segments * perMss;
  if (sk.sndbuf < wanted) sk.sndbuf = Math.min(wanted, tp.st.sysctl.wmem[2]);
}

/** Ends a segment of the write or the retransmit queue. Linux: tcp_wmem_free_skb(). Takes ownership of `skb`. */
export function tcpWmemFreeSkb(tp: TcpSock, skb: SkBuff): void {
  const truesize = skb.truesize;
  tp.wmemQueued -= truesize;
  skMemUncharge(tp, truesize);
  skb.consume();
}

/** Whether there are too many sockets that nobody owns, each counted `1 << shift` times. Linux: tcp_too_many_orphans(). */
export function tcpTooManyOrphans(st: TcpState, shift: number): boolean {
  return st.orphans * (1 << shift) > st.sysctl.maxOrphans;
}

/** Linux: tcp_out_of_memory(). */
export function tcpOutOfMemory(tp: TcpSock): boolean {
  return tp.wmemQueued > SOCK_MIN_SNDBUF && tp.st.memoryAllocated > limit(tp.st, 2);
}

/** Whether a socket that nobody owns must be given up at once. Linux: tcp_check_oom(). */
export function tcpCheckOom(tp: TcpSock, shift: number): boolean {
  return tcpTooManyOrphans(tp.st, shift) || tcpOutOfMemory(tp);
}
