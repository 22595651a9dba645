/**
 * What TCP Fast Open keeps: per net the key of cookies and what servers gave us, per socket what few of them need. Only
 * data; `fastopen.ts` is the server's side, `fastopen_client.ts` the client's. RFC 7413. Linux: struct fastopen_queue,
 * struct tcp_fastopen_request, struct tcp_fastopen_metrics.
 */
import type { MsgHdr } from "../sock/contract.ts";
import type { TcpRequestSock } from "./request.ts";
import type { SipKey } from "./secure_seq.ts";
import type { TcpSock } from "./tcp_sock.ts";

/** Bits of net.ipv4.tcp_fastopen: clients may. Linux: TFO_*, include/net/tcp.h. */
export const TFO_CLIENT_ENABLE = 1;
/** Servers may. */
export const TFO_SERVER_ENABLE = 2;
/** Clients send data without a cookie. */
export const TFO_CLIENT_NO_COOKIE = 4;
/** Servers take data without a cookie. */
export const TFO_SERVER_COOKIE_NOT_REQD = 0x200;
/** All listeners do, without TCP_FASTOPEN. */
export const TFO_SERVER_WO_SOCKOPT1 = 0x400;

/** tcpi_fastopen_client_fail: there was no cookie. Linux: enum tcp_fastopen_client_fail. */
export const TFO_COOKIE_UNAVAILABLE = 1;
/** tcpi_fastopen_client_fail: the SYN was acknowledged, its data was not. */
export const TFO_DATA_NOT_ACKED = 2;
/** tcpi_fastopen_client_fail: the SYN had to go again. */
export const TFO_SYN_RETRANSMITTED = 3;

/** A cookie. */
export interface TcpFastopenCookie {
  /** Bytes, 4 to 16; 0: one is asked for; -1: no such option. */
  len: number;
  /** The bytes. */
  readonly val: Uint8Array;
  /** In the experimental option 254, which was there before option 34. */
  exp: boolean;
}

/** No cookie. */
export function tcpFastopenCookie(): TcpFastopenCookie {
  return { len: -1, val: new Uint8Array(16), exp: false };
}

/** Makes `to` the same as `from`. */
export function tcpFastopenCopy(to: TcpFastopenCookie, from: TcpFastopenCookie): void {
  to.len = from.len;
  to.exp = from.exp;
  for (let i = 0; i < to.val.length; i++) to.val[i] = from.val[i] ?? 0;
}

/** A SYN with data that is about to be sent. Linux: struct tcp_fastopen_request. */
export interface TcpFastopenRequest {
  /** Its cookie. */
  readonly cookie: TcpFastopenCookie;
  /** What is to be sent; null: nothing but the question for a cookie. */
  readonly msg: MsgHdr | null;
  /** Bytes of it that went. */
  copied: number;
}

/** What a socket has of it. */
export class TcpFastopenSock {
  /** Listener: connections that may be open before their handshake is; 0: none. */
  maxQlen = 0;
  /** Listener: how many there are. */
  qlen = 0;
  /** Listener: when those that a RST ended count no longer, jiffies, oldest first. */
  readonly rst: number[] = [];
  /** Listener: its own key; null: the net's. */
  key: SipKey | null = null;
  /** TCP_FASTOPEN_CONNECT. */
  connect = false;
  /** TCP_FASTOPEN_NO_COOKIE. */
  noCookie = false;
  /** Client: what is being sent; null: nothing. */
  request: TcpFastopenRequest | null = null;
  /** Client: connect() waits for the first write. Linux: INET_FLAGS_DEFER_CONNECT. */
  deferConnect = false;
  /** Client: the SYN had the option. */
  synFastopen = false;
  /** Client: the experimental one. */
  synFastopenExp = false;
  /** Client: the SYN had data. */
  synData = false;
  /** The data of the SYN was taken: by the server, or by us. */
  synDataAcked = false;
  /** Server: it was made by a SYN with data, before its handshake was complete. */
  child = false;
  /** Client: TFO_*: why it did not work. */
  clientFail = 0;
}

/** The record of a socket, made when it is needed. */
export function foOf(tp: TcpSock): TcpFastopenSock {
  return tp.fo ??= new TcpFastopenSock();
}

/** What a server told us. Linux: struct tcp_fastopen_metrics. */
export interface TcpFastopenMetrics {
  /** Its MSS. */
  mss: number;
  /** Its cookie. */
  readonly cookie: TcpFastopenCookie;
  /** 1: the experimental option is tried next; 2: it was tried. */
  tryExp: number;
}

/** Servers that are remembered. */
const METRICS_MAX = 1024;

/** What a net has of it. */
export class TcpFastopenNet {
  /** Key of cookies; null: none was needed yet. */
  key: SipKey | null = null;
  /** By both addresses, the one used last at the end. */
  readonly metrics: Map<string, TcpFastopenMetrics> = new Map();
  /** Clients do not: since when, jiffies. */
  disabledSince = 0;
  /** How often that was found in a row. */
  disabledTimes = 0;

  /** What is known of a server; null: nothing. */
  find(saddr: number, daddr: number): TcpFastopenMetrics | null {
    return this.metrics.get(`${saddr}/${daddr}`) ?? null;
  }

  /** The same, made where there is none; the one that was not used longest is forgotten. */
  of(saddr: number, daddr: number): TcpFastopenMetrics {
    const key = `${saddr}/${daddr}`;
    const known = this.metrics.get(key);
    if (known !== undefined) this.metrics.delete(key);
    else if (this.metrics.size >= METRICS_MAX) {
      for (const oldest of this.metrics.keys()) {
        this.metrics.delete(oldest);
        break;
      }
    }
    const m = known ?? { mss: 0, cookie: tcpFastopenCookie(), tryExp: 0 };
    this.metrics.set(key, m);
    return m;
  }
}

/** A request with a socket before its handshake: the listener's part is given back. Linux: reqsk_fastopen_remove(). */
export function reqskFastopenRemove(tp: TcpSock, reset: boolean, free: (req: TcpRequestSock) => void): void {
  const req = tp.fastopenRsk;
  if (req === null) return;
  tp.fastopenRsk = null;
  const listener = req.listener;
  const fo = listener === null ? null : listener.fo;
  // A RST right after the SYN is what a forged SYN brings: its place stays taken for a minute.
  if (fo !== null) {
    if (reset && !tp.inAcceptQueue && listener!.acceptQueue !== null) {
      fo.rst.push((tp.st.machine.jiffies + 60_000) | 0);
    } else fo.qlen--;
  }
  free(req);
}
