/**
 * What scripts ask of a TCP beyond the system calls of `syscall/contract.ts`. Everything here is optional: a script that
 * needs what a stack does not offer is reported as unsupported, with the name of what is missing.
 *
 * @module
 */
import type { Net, Token } from "../../../core/mod.ts";
import type { MsgHdr, Sock } from "../../transport/sock/contract.ts";

/** Fields of Linux's struct tcp_info by name (`tcpi_snd_cwnd`, ...), times in the units that Linux gives them. */
export type TcpInfoRecord = Readonly<Record<string, number>>;

/** The part of the TCP token's api that scripts use. */
export interface ScriptedTcp {
  /** getsockopt(TCP_INFO). Also for a socket in TIME-WAIT or CLOSE whose descriptor is open. */
  info?(sk: Sock): TcpInfoRecord | object | null;
  /** SIOCINQ, SIOCOUTQ, SIOCOUTQNSD: bytes, or a negative errno. Linux: tcp_ioctl(). */
  ioctl?(sk: Sock, request: number): number;
  /** Forgets cached metrics and Fast Open cookies. Linux: `ip tcp_metrics flush all`. */
  flushMetrics?(): void;
}

/** Its token: the api of `tcp()`. */
export const SCRIPTED_TCP: Token<ScriptedTcp> = { name: "netpath:tcp" };

/** One control message as recvmsg(2) gives it: numbers as Linux has them, fields of `data` by their Linux names. */
export interface ControlMessage {
  /** SOL_SOCKET, SOL_IP, SOL_TCP. */
  readonly level: number;
  /** SCM_TIMESTAMPING (37), IP_RECVERR (11), TCP_CM_INQ (36). */
  readonly type: number;
  /** `{ value }` of an int; `{ tstamp }` in ns of the machine's clock; `{ ee_errno, ee_origin, ... }`. */
  readonly data: Readonly<Record<string, number>>;
}

/** What a message record may carry beyond the common one. A stack reads and fills the fields that it knows. */
export interface ScriptMsg extends MsgHdr {
  /** Lengths of the pieces of `buf` from `off`: struct iovec. Zero-copy sends make a frag of each. */
  iov?: readonly number[];
  /** Filled by recvmsg: the control messages. An array is given when the caller has room for them. */
  control?: ControlMessage[];
  /** Filled by recvmsg: bytes left to read, where TCP_INQ is set. */
  inq?: number;
  /** Filled by recvmsg with MSG_ERRQUEUE: time stamp in ns of the machine's clock, where the entry has one. */
  tstamp?: number;
}

/** The api of a token, or null where no plugin of the net provides it. */
export function apiOf<T>(net: Net, token: Token<T>): T | null {
  try {
    return net.get(token);
  } catch {
    return null;
  }
}
