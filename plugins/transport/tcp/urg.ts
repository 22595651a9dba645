/**
 * Urgent data: one byte beside the stream. RFC 9293 section 3.8.5, RFC 6093; Linux: tcp_urg(), net/ipv4/tcp_input.c.
 *
 * A peer may send any pointer. It is only ever compared and used as an offset that is checked against the segment: no
 * length is computed from it.
 */
import type { SkBuff } from "../../../core/mod.ts";
import * as sock from "../sock/contract.ts";
import type { TcpSock } from "./tcp_sock.ts";
import * as tcpSock from "./tcp_sock.ts";

// Constants of the module's own are folded into machine code; an imported binding is loaded and checked at each use.
const { skDataReady } = sock;
const { after, before, CB_END_SEQ, CB_FLAGS, CB_SEQ, TCP_URG_NOTYET, TCP_URG_VALID, TCPHDR_SYN, TCPHDR_URG } = tcpSock;

/** Offset of the urgent pointer, and of the data offset. */
const URG_PTR = 18, DOFF = 12;

/** Looks for an urgent pointer and for the byte that one announced; `data` is at the header. Borrows `skb`. */
export function tcpUrg(tp: TcpSock, skb: SkBuff): void {
  const flags = skb.cb[tp.st.cb + CB_FLAGS];
  if ((flags & TCPHDR_URG) !== 0) tcpCheckUrg(tp, skb);
  if (tp.urgData !== TCP_URG_NOTYET) return;
  const hlen = skb.view.getUint8(skb.transportHeader + DOFF) >> 4 << 2;
  const syn = (flags & TCPHDR_SYN) !== 0 ? 1 : 0;
  const at = (tp.urgSeq - skb.cb[tp.st.cb + CB_SEQ] + hlen - syn) | 0;
  if (at < 0 || at >= skb.len) return;
  tp.urgData = TCP_URG_VALID | byteAt(skb, at);
  skDataReady(tp.sk);
}

/** Byte `i` of the packet. Borrows `skb`. */
function byteAt(skb: SkBuff, i: number): number {
  const linear = skb.tail - skb.data;
  if (i < linear) return skb.bytes[skb.data + i];
  i -= linear;
  for (let n = 0; n < skb.nrFrags; n++) {
    const frag = skb.frags[n];
    if (i < frag.size) return frag.slab.bytes[frag.offset + i];
    i -= frag.size;
  }
  for (let part = skb.fragList; part !== null; part = part.next) {
    if (i < part.len) return byteAt(part, i);
    i -= part.len;
  }
  return 0;
}

/**
 * A new urgent pointer, unless it is of what was read, or older than the one that is known. Linux's reading is the one
 * of BSD: the pointer points behind the byte, unless tcp_stdurg is set. Linux: tcp_check_urg(). Borrows `skb`.
 */
function tcpCheckUrg(tp: TcpSock, skb: SkBuff): void {
  const sk = tp.sk;
  let offset = skb.view.getUint16(skb.transportHeader + URG_PTR);
  if (offset !== 0 && tp.st.sysctl.stdurg === 0) offset--;
  const seq = (skb.cb[tp.st.cb + CB_SEQ] + offset) | 0;
  if (after(tp.copiedSeq, seq) || before(seq, tp.rcvNxt)) return;
  if (tp.urgData !== 0 && !after(seq, tp.urgSeq)) return;
  // The reader stands at the old urgent byte, which is not part of the stream: he must not read it as if it were.
  if (tp.urgSeq === tp.copiedSeq && tp.urgData !== 0 && !sk.urginline && tp.copiedSeq !== tp.rcvNxt) {
    const first = sk.receiveQueue.head;
    tp.copiedSeq = (tp.copiedSeq + 1) | 0;
    if (first !== null && !before(tp.copiedSeq, first.cb[tp.st.cb + CB_END_SEQ])) {
      sk.receiveQueue.dequeue();
      first.consume();
    }
  }
  tp.urgData = TCP_URG_NOTYET;
  tp.urgSeq = seq;
  tp.predFlags = 0;
}
