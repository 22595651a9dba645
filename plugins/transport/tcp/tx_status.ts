/**
 * What a sender hears of its bytes beside their delivery: time stamps (SO_TIMESTAMPING) and the end of messages with
 * MSG_ZEROCOPY. Both come in the error queue. Linux: tcp_tx_timestamp(), tcp_ack_tstamp(), skb_tstamp_tx(),
 * msg_zerocopy_callback(), Documentation/networking/{timestamping,msg_zerocopy}.rst.
 *
 * Each is a note in a short list of the connection: Linux keeps it with the segment that has the last byte of the write.
 * A message with MSG_ZEROCOPY is copied as any other, and its end says so: SO_EE_CODE_ZEROCOPY_COPIED. Linux does the same
 * where the device cannot gather, or the packet stays on this host.
 */
import type { SkBuff } from "../../../core/mod.ts";
import * as sock from "../sock/contract.ts";
import * as tcpSock from "./tcp_sock.ts";
import type { TcpSock } from "./tcp_sock.ts";

// Constants of the module's own are folded into machine code; an imported binding is loaded and checked at each use.
const {
  SCM_TSTAMP_ACK,
  SCM_TSTAMP_SCHED,
  SCM_TSTAMP_SND,
  SO_EE_CODE_ZEROCOPY_COPIED,
  SOF_TIMESTAMPING_OPT_ID,
  SOF_TIMESTAMPING_OPT_TSONLY,
  SOF_TIMESTAMPING_SOFTWARE,
  SOF_TIMESTAMPING_TX_ACK,
  SOF_TIMESTAMPING_TX_ANY,
  SOF_TIMESTAMPING_TX_SCHED,
  SOF_TIMESTAMPING_TX_SOFTWARE,
  sockTxTimestamp,
  sockZerocopyDone,
} = sock;
const { CB_END_SEQ, CB_SEQ } = tcpSock;

/** What is to be told when the byte `seq` gets somewhere. */
export interface TcpTxNote {
  /** The last byte of the write. */
  readonly seq: number;
  /** SOF_TIMESTAMPING_TX_*, or 0: a message with MSG_ZEROCOPY. */
  readonly flags: number;
  /** Number of the byte, or of the message. */
  readonly id: number;
}

/** The end of a write that took bytes. `zerocopy`: with MSG_ZEROCOPY. Linux: tcp_tx_timestamp(). */
export function tcpTxNote(tp: TcpSock, zerocopy: boolean): void {
  const sk = tp.sk;
  const last = (tp.writeSeq - 1) | 0;
  if (zerocopy) {
    (tp.txNotes ??= []).push({ seq: last, flags: 0, id: sk.zckey });
    sk.zckey = (sk.zckey + 1) | 0;
  }
  const flags = sk.tsflags & SOF_TIMESTAMPING_TX_ANY;
  if (flags === 0) return;
  const notes = tp.txNotes ??= [];
  // A segment has one stamp: that of the last write in it.
  const tail = tp.writeTail;
  const from = tail === null ? tp.writeSeq : tail.cb[tp.st.cb + CB_SEQ];
  for (let i = notes.length - 1; i >= 0 && ((notes[i].seq - from) | 0) >= 0; i--) {
    if (notes[i].flags !== 0) notes.splice(i, 1);
  }
  notes.push({ seq: last, flags, id: (sk.tsflags & SOF_TIMESTAMPING_OPT_ID) !== 0 ? (last - sk.tskey) | 0 : 0 });
}

/** A message with MSG_ZEROCOPY was copied, and waits for nothing. */
export function tcpTxCopied(tp: TcpSock): void {
  const sk = tp.sk;
  sockZerocopyDone(sk, sk.zckey, SO_EE_CODE_ZEROCOPY_COPIED);
  sk.zckey = (sk.zckey + 1) | 0;
}

/** A segment entered the queue of the device, and the device. Linux: __skb_tstamp_tx(). Borrows `skb`. */
export function tcpTxSent(tp: TcpSock, skb: SkBuff): void {
  const notes = tp.txNotes!;
  const c = tp.st.cb;
  for (let i = 0; i < notes.length; i++) {
    const { seq, flags, id } = notes[i];
    if (((seq - skb.cb[c + CB_SEQ]) | 0) < 0 || ((seq - skb.cb[c + CB_END_SEQ]) | 0) >= 0) continue;
    if ((flags & SOF_TIMESTAMPING_TX_SCHED) !== 0) tell(tp, skb, SCM_TSTAMP_SCHED, id);
    if ((flags & SOF_TIMESTAMPING_TX_SOFTWARE) !== 0) tell(tp, skb, SCM_TSTAMP_SND, id);
  }
}

/** A segment is acknowledged, and is about to be freed. Linux: tcp_ack_tstamp(), skb_zcopy_clear(). Borrows `skb`. */
export function tcpTxAcked(tp: TcpSock, skb: SkBuff): void {
  const notes = tp.txNotes!;
  const end = skb.cb[tp.st.cb + CB_END_SEQ];
  let done = 0;
  while (done < notes.length && ((notes[done].seq - end) | 0) < 0) {
    const { flags, id } = notes[done++];
    if (flags === 0) sockZerocopyDone(tp.sk, id, SO_EE_CODE_ZEROCOPY_COPIED);
    else if ((flags & SOF_TIMESTAMPING_TX_ACK) !== 0) tell(tp, skb, SCM_TSTAMP_ACK, id);
  }
  forget(tp, done);
}

/** The queues are emptied: no message is in them any more. */
export function tcpTxPurge(tp: TcpSock): void {
  const notes = tp.txNotes!;
  for (const { flags, id } of notes) if (flags === 0) sockZerocopyDone(tp.sk, id, SO_EE_CODE_ZEROCOPY_COPIED);
  forget(tp, notes.length);
}

function forget(tp: TcpSock, n: number): void {
  const notes = tp.txNotes!;
  if (n === notes.length) tp.txNotes = null;
  else if (n !== 0) notes.splice(0, n);
}

function tell(tp: TcpSock, skb: SkBuff, what: number, id: number): void {
  const sk = tp.sk;
  if (sk.dead || (sk.tsflags & SOF_TIMESTAMPING_SOFTWARE) === 0) return;
  sockTxTimestamp(sk, (sk.tsflags & SOF_TIMESTAMPING_OPT_TSONLY) !== 0 ? null : skb, what, id);
}
