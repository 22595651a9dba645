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
/** Queueing priority. */
export const SO_PRIORITY = 12;
/** Several sockets share a port, and flows are spread over them. */
export const SO_REUSEPORT = 15;
/** Bound to a device; here by ifindex (Linux's SO_BINDTODEVICE takes a name), 0: any. */
export const SO_BINDTODEVICE = 25;
/** SO_SNDBUF without the limit of wmem_max. */
export const SO_SNDBUFFORCE = 32;
/** SO_RCVBUF without the limit of rmem_max. */
export const SO_RCVBUFFORCE = 33;
/** Firewall mark. */
export const SO_MARK = 36;
/** IPPROTO_*; read only. */
export const SO_PROTOCOL = 38;
/** AF_*; read only. */
export const SO_DOMAIN = 39;
/** The same as SO_BINDTODEVICE, by ifindex in Linux too. */
export const SO_BINDTOIFINDEX = 62;
