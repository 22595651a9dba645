/**
 * What is queued, in bytes. Linux: tcp_ioctl(), tcp_inq(), net/ipv4/tcp.c.
 */
import { ERRNO } from "../../../core/mod.ts";
import { TCP_LISTEN, TCP_SYN_RECV, TCP_SYN_SENT } from "./contract.ts";
import { before, type TcpSock } from "./tcp_sock.ts";

/** Bytes to read. Linux: include/uapi/asm-generic/sockios.h, as the following. */
const SIOCINQ = 0x541b;
/** Bytes that the peer has not acknowledged. */
const SIOCOUTQ = 0x5411;
/** Bytes that were not sent yet. */
const SIOCOUTQNSD = 0x894b;
/** Whether the next byte to read is urgent. */
const SIOCATMARK = 0x8905;
const ENOTTY = 25;

/** The number that `request` asks for, or a negative errno. */
export function tcpIoctl(tp: TcpSock, request: number): number {
  const state = tp.sk.state;
  if (request === SIOCATMARK) return tp.urgData !== 0 && tp.urgSeq === tp.copiedSeq ? 1 : 0;
  if (request !== SIOCINQ && request !== SIOCOUTQ && request !== SIOCOUTQNSD) return -ENOTTY;
  if (state === TCP_LISTEN) return -ERRNO.EINVAL;
  if (state === TCP_SYN_SENT || state === TCP_SYN_RECV) return 0;
  if (request === SIOCINQ) return tcpInq(tp);
  return (tp.writeSeq - (request === SIOCOUTQ ? tp.sndUna : tp.sndNxt)) | 0;
}

/** A FIN is no byte, and a reader gets no further than the urgent one. Linux: tcp_inq(). */
function tcpInq(tp: TcpSock): number {
  const urgent = !tp.sk.urginline && tp.urgData !== 0 && !before(tp.urgSeq, tp.copiedSeq) &&
    before(tp.urgSeq, tp.rcvNxt);
  if (urgent) return (tp.urgSeq - tp.copiedSeq) | 0;
  const bytes = (tp.rcvNxt - tp.copiedSeq) | 0;
  return bytes > 0 && tp.sockDone ? bytes - 1 : bytes;
}
