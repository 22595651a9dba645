/**
 * Names of SOL_SOCKET options. Linux: include/uapi/asm-generic/socket.h.
 *
 * @module
 */

/** A local port may be bound by several sockets that all set it. */
export const SO_REUSEADDR = 2;
/** SOCK_*; read only. */
export const SO_TYPE = 3;
/** The pending error, which reading clears; read only. */
export const SO_ERROR = 4;
/** Datagrams to a broadcast address are allowed. */
export const SO_BROADCAST = 6;
/** Send buffer in bytes; stored doubled. */
export const SO_SNDBUF = 7;
/** Receive buffer in bytes; stored doubled. */
export const SO_RCVBUF = 8;
/** UDP datagrams go without a checksum. */
export const SO_NO_CHECK = 11;
/** An idle connection is probed. */
export const SO_KEEPALIVE = 9;
/** Urgent data stays in the stream. */
export const SO_OOBINLINE = 10;
/** Queueing priority. */
export const SO_PRIORITY = 12;
/** What close() does with unsent data. Set: value 0 or 1 (off, on), value2 seconds. Got: 0: off, else 1 + seconds. */
export const SO_LINGER = 13;
/** Several sockets share a port, and flows are spread over them. */
export const SO_REUSEPORT = 15;
/** Bytes from which a reader is woken. */
export const SO_RCVLOWAT = 18;
/** Bytes from which a writer is woken: 1; read only. */
export const SO_SNDLOWAT = 19;
/** Bound to a device; here by ifindex (Linux's SO_BINDTODEVICE takes a name), 0: any. */
export const SO_BINDTODEVICE = 25;
/** Whether it listens; read only. */
export const SO_ACCEPTCONN = 30;
/** SO_SNDBUF without the limit of wmem_max. */
export const SO_SNDBUFFORCE = 32;
/** SO_RCVBUF without the limit of rmem_max. */
export const SO_RCVBUFFORCE = 33;
/** Firewall mark. */
export const SO_MARK = 36;
/** Bytes per second at most, ~0 (0xffffffff): no bound. A connection with a bound is paced. */
export const SO_MAX_PACING_RATE = 47;
/** IPPROTO_*; read only. */
export const SO_PROTOCOL = 38;
/** AF_*; read only. */
export const SO_DOMAIN = 39;
/** The same as SO_BINDTODEVICE, by ifindex in Linux too. */
export const SO_BINDTOIFINDEX = 62;
/** Time stamps of what is sent and received: SOF_TIMESTAMPING_*. Here: of what TCP sends. */
export const SO_TIMESTAMPING = 37;
/** MSG_ZEROCOPY is answered in the error queue. */
export const SO_ZEROCOPY = 60;

/** SO_TIMESTAMPING: when the driver got it. Linux: include/uapi/linux/net_tstamp.h. */
export const SOF_TIMESTAMPING_TX_SOFTWARE: number = 1 << 1;
/** SO_TIMESTAMPING: software stamps are told. */
export const SOF_TIMESTAMPING_SOFTWARE: number = 1 << 4;
/** SO_TIMESTAMPING: stamps have the number of the byte that they are for. */
export const SOF_TIMESTAMPING_OPT_ID: number = 1 << 7;
/** SO_TIMESTAMPING: when it entered the queue of the device. */
export const SOF_TIMESTAMPING_TX_SCHED: number = 1 << 8;
/** SO_TIMESTAMPING: when it was acknowledged. */
export const SOF_TIMESTAMPING_TX_ACK: number = 1 << 9;
/** SO_TIMESTAMPING: stamps come without the packet. */
export const SOF_TIMESTAMPING_OPT_TSONLY: number = 1 << 11;
/** SO_TIMESTAMPING: numbers count from what was written, not from what was acknowledged. */
export const SOF_TIMESTAMPING_OPT_ID_TCP: number = 1 << 16;
/** Any of the moments of a transmission. */
export const SOF_TIMESTAMPING_TX_ANY: number = SOF_TIMESTAMPING_TX_SOFTWARE | SOF_TIMESTAMPING_TX_SCHED |
  SOF_TIMESTAMPING_TX_ACK;
/** Flags that exist. */
export const SOF_TIMESTAMPING_MASK: number = (1 << 19) - 1;

/** `ee_info` of a time stamp: the driver got it. */
export const SCM_TSTAMP_SND = 0;
/** `ee_info` of a time stamp: it entered the queue of the device. */
export const SCM_TSTAMP_SCHED = 1;
/** `ee_info` of a time stamp: it was acknowledged. */
export const SCM_TSTAMP_ACK = 2;
