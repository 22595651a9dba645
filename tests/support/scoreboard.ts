/** What TCP counts of its retransmission queue, against the queue itself. */
import { assert, assertEquals } from "@std/assert";
import {
  CB_END_SEQ,
  CB_FLAGS,
  CB_PCOUNT,
  CB_SEQ,
  TCPCB_LOST,
  TCPCB_SACKED_ACKED,
  TCPCB_SACKED_RETRANS,
  type TcpSock,
} from "../../plugins/transport/tcp/tcp_sock.ts";

/** Checks that the counters are the sums of the tags, and that the queue is whole and in order. */
export function scoreboard(tp: TcpSock): void {
  const c = tp.st.cb;
  const sums = { packetsOut: 0, sackedOut: 0, lostOut: 0, retransOut: 0 };
  const n = tp.rtx === null ? 0 : tp.rtx.length;
  let seq = n === 0 ? 0 : tp.rtx!.at(0).cb[c + CB_SEQ];
  if (n !== 0) assert(((tp.sndUna - seq) | 0) >= 0, "the queue begins with what is not acknowledged");
  for (let i = 0; i < n; i++) {
    const { cb } = tp.rtx!.at(i);
    assertEquals(cb[c + CB_SEQ], seq, "the queue has a hole");
    seq = cb[c + CB_END_SEQ];
    const flags = cb[c + CB_FLAGS], segs = cb[c + CB_PCOUNT];
    sums.packetsOut += segs;
    if ((flags & TCPCB_SACKED_ACKED) !== 0) sums.sackedOut += segs;
    if ((flags & TCPCB_LOST) !== 0) sums.lostOut += segs;
    if ((flags & TCPCB_SACKED_RETRANS) !== 0) sums.retransOut += segs;
    assert((flags & TCPCB_SACKED_ACKED) === 0 || (flags & TCPCB_LOST) === 0, "SACKed and lost");
  }
  if (n !== 0) assertEquals(seq, tp.sndNxt, "the queue ends with what was sent last");
  // Without SACK duplicate ACKs stand for it.
  if (!tp.sackOk) sums.sackedOut = tp.sackedOut;
  const { packetsOut, sackedOut, lostOut, retransOut } = tp;
  assertEquals({ packetsOut, sackedOut, lostOut, retransOut }, sums);
  assert(sackedOut + lostOut <= packetsOut, "more is out than was sent");
}
