/**
 * Sockets as protocols see them: accounting, queues, the family and protosw tables. Linux: include/net/sock.h,
 * net/core/sock.c, net/ipv4/af_inet.c.
 *
 * @module
 */
import type { Machine, Net, NetDevice, SkbOwner, SkbQueue, SkBuff, Token, Wakeable } from "../../../core/mod.ts";
import type { Dst } from "../../network/fib/contract.ts";
import type { IpOptions } from "../../network/ipv4/contract.ts";

export * from "./datagram.ts";
export * from "./error_queue.ts";
export * from "./hash.ts";
export * from "./ip_options.ts";
export * from "./port.ts";
export * from "./queue.ts";
export * from "./so.ts";

/** IPv4. */
export const AF_INET = 2;
/** Bytes in order. */
export const SOCK_STREAM = 1;
/** Messages. */
export const SOCK_DGRAM = 2;
/** Whole IP packets. */
export const SOCK_RAW = 3;

/** SOL_SOCKET. */
export const SOL_SOCKET = 1;
/** SOL_IP. */
export const SOL_IP = 0;
/** SOL_UDP. */
export const SOL_UDP = 17;

/** The one byte of urgent data. */
export const MSG_OOB = 0x01;
/** recvmsg: look, leave it there. */
export const MSG_PEEK = 0x02;
/** Message was cut (flag out), or: give the real length (flag in). */
export const MSG_TRUNC = 0x20;
/** Do not wait: every call here behaves so. */
export const MSG_DONTWAIT = 0x40;
/** A record ends here. */
export const MSG_EOR = 0x80;
/** Wait for the whole amount. */
export const MSG_WAITALL = 0x100;
/** Read from the error queue. */
export const MSG_ERRQUEUE = 0x2000;
/** No SIGPIPE. */
export const MSG_NOSIGNAL = 0x4000;
/** More follows. */
export const MSG_MORE = 0x8000;
/** The bytes belong to the message until the error queue says that it is done. */
export const MSG_ZEROCOPY = 0x4000000;
/** connect() with the first bytes in the SYN. */
export const MSG_FASTOPEN = 0x20000000;

/** sk.state of a socket with a peer. */
export const TCP_ESTABLISHED = 1;
/** sk.state of a socket without one. */
export const TCP_CLOSE = 7;

/** Bytes that SO_SNDBUF never goes below: two packets of 2,048. */
export const SOCK_MIN_SNDBUF = 4608;
/** Bytes that SO_RCVBUF never goes below: one packet of 2,048. */
export const SOCK_MIN_RCVBUF = 2304;

/** sk.userlocks: the user chose the size of the send buffer. */
export const SOCK_SNDBUF_LOCK = 1;
/** sk.userlocks: the user chose the size of the receive buffer. */
export const SOCK_RCVBUF_LOCK = 2;
/** sk.userlocks: the user chose the address. */
export const SOCK_BINDADDR_LOCK = 4;
/** sk.userlocks: the user chose the port. */
export const SOCK_BINDPORT_LOCK = 8;

/** sk.userlocks: connect() chose the port, which is shared with others that differ in the peer. */
export const SOCK_CONNECT_BIND = 16;

/** poll: can read. */
export const POLLIN = 0x001;
/** poll: urgent data. */
export const POLLPRI = 0x002;
/** poll: can write. */
export const POLLOUT = 0x004;
/** poll: an error waits. */
export const POLLERR = 0x008;
/** poll: hung up. */
export const POLLHUP = 0x010;
/** poll: the peer closed its half. */
export const POLLRDHUP = 0x2000;

/** shutdown: no more reads. */
export const SHUT_RD = 0;
/** shutdown: no more writes. */
export const SHUT_WR = 1;
/** shutdown: neither. */
export const SHUT_RDWR = 2;
/** sk.shutdown bit. */
export const RCV_SHUTDOWN = 1;
/** sk.shutdown bit. */
export const SEND_SHUTDOWN = 2;

/** A message and where its bytes are: the caller's record, filled by recvmsg, reused. Addresses int32. */
export interface MsgHdr {
  /** Peer: to (send; 0 with port 0: the connected one) or from (receive). */
  addr: number;
  /** Peer's port. */
  port: number;
  /** The bytes. */
  buf: Uint8Array;
  /** First byte to use. */
  off: number;
  /** Bytes to send, or room. */
  len: number;
  /** MSG_* out of recvmsg. */
  flags: number;
  /** Filled by recvmsg with MSG_ERRQUEUE where the caller gives one. */
  err?: SockExtendedErr;
  /** Filled by recvmsg with the bytes that are left to read, where TCP_INQ is set and the caller gives a number. */
  inq?: number;
  /**
   * Lengths of the pieces of `buf` from `off` on, where it stands for more than one buffer: a message with MSG_ZEROCOPY
   * makes a frag of each. Linux: msg_iter.
   */
  iov?: readonly number[];
  /** Filled by recvmsg with MSG_ERRQUEUE: time of the entry in ns of the machine's clock, where it has one. */
  tstamp?: number;
  /** Filled by recvmsg with the packet's TTL where the caller gives a number. Linux: IP_RECVTTL. */
  ttl?: number;
  /** Address of a packet socket: to (send), or filled by recvmsg where the caller gives one. */
  ll?: SockaddrLl;
}

/** Address of a packet socket. Linux: struct sockaddr_ll. */
export interface SockaddrLl {
  /** The device. */
  ifindex: number;
  /** EtherType in host order. */
  protocol: number;
  /** ARPHRD_*. */
  hatype: number;
  /** PACKET_HOST and so on. */
  pkttype: number;
  /** Hardware address, first 16 bits. */
  addrHi: number;
  /** Hardware address, last 32 bits. */
  addrLo: number;
}

/** What an error was about. Linux: struct sock_extended_err. */
export interface SockExtendedErr {
  /** Positive errno. */
  errno: number;
  /** SO_EE_ORIGIN_*. */
  origin: number;
  /** ICMP type. */
  type: number;
  /** ICMP code. */
  code: number;
  /** MTU of a message that was too big, in bytes; SCM_TSTAMP_*; the first of the messages with MSG_ZEROCOPY. */
  info: number;
  /** Number of the byte that a time stamp is for; the last of the messages with MSG_ZEROCOPY. */
  data?: number;
  /** Who sent the error, int32. */
  offender: number;
}

/** A fresh message record over `buf`. */
export function msgHdr(buf: Uint8Array = new Uint8Array(0)): MsgHdr {
  return { addr: 0, port: 0, buf, off: 0, len: buf.length, flags: 0 };
}

/** What a protocol does for its sockets: one fixed shape. All calls return a count, 0 or a negative errno; none waits. */
export interface ProtoOps {
  /** `UDP`. */
  readonly name: string;
  /** Prepares a new sock. */
  init(sk: Sock): number;
  /** Gives back all it holds; the last call. */
  close(sk: Sock): void;
  /** Binds to a local address and port; 0: any. */
  bind(sk: Sock, addr: number, port: number): number;
  /** Connects. */
  connect(sk: Sock, addr: number, port: number): number;
  /** Forgets the peer: connect to AF_UNSPEC. */
  disconnect(sk: Sock): number;
  /** Listens. */
  listen(sk: Sock, backlog: number): number;
  /** The next connection, or null with sk.acceptError. */
  accept(sk: Sock): Sock | null;
  /** Sends. */
  sendmsg(sk: Sock, msg: MsgHdr, flags: number): number;
  /** Receives into the caller's record. */
  recvmsg(sk: Sock, msg: MsgHdr, flags: number): number;
  /** Closes halves: SHUT_*. */
  shutdown(sk: Sock, how: number): number;
  /** POLL* bits that hold now. */
  poll(sk: Sock): number;
  /** Protocol-level options; `value2` is the second word of an option that has one: ip_mreq's interface. */
  setsockopt(sk: Sock, level: number, name: number, value: number, value2: number): number;
  /** Protocol-level options; the value or a negative errno. */
  getsockopt(sk: Sock, level: number, name: number): number;
  /** Options that are strings (TCP_CONGESTION); 0 or a negative errno. */
  setsockoptString?(sk: Sock, level: number, name: number, value: string): number;
  /** Options that are strings; the value or a negative errno. */
  getsockoptString?(sk: Sock, level: number, name: number): string | number;
  /** Options that are bytes (IP_OPTIONS); 0 or a negative errno. */
  setsockoptBytes?(sk: Sock, level: number, name: number, value: Uint8Array): number;
  /** Options that are bytes; the value or a negative errno. */
  getsockoptBytes?(sk: Sock, level: number, name: number): Uint8Array | number;
  /** A sent packet was freed and is uncharged, instead of waking whoever waits for half of the buffer. */
  wfree?(sk: Sock): void;
  /** A received packet of so many bytes was freed and is uncharged. */
  rfree?(sk: Sock, truesize: number): void;
  /** SOL_SOCKET options that more than a field depends on were set: SO_KEEPALIVE. */
  sockoptChanged?(sk: Sock, name: number): void;
  /** The socket lives on after {@linkcode close}, until the protocol calls {@linkcode SockTable.destroy}. */
  readonly lingers?: boolean;
}

/** A socket inside the kernel. Linux: struct sock. One hidden class for all protocols; theirs is in `proto`. */
export interface Sock extends Wakeable {
  /** The net. */
  readonly net: Net;
  /** The machine. */
  readonly machine: Machine;
  /** AF_*. */
  readonly family: number;
  /** SOCK_*. */
  readonly type: number;
  /** IPPROTO_*. */
  readonly protocol: number;
  /** Its protocol. */
  readonly ops: ProtoOps;
  /** The record that skbs carry. */
  readonly owner: SkbOwner;
  /** TCP_* state; 7 (closed) for unconnected datagram sockets, 1 (established) for connected ones. */
  state: number;
  /** Local address, int32; 0: any. Linux: inet_rcv_saddr. */
  saddr: number;
  /** Local port. */
  sport: number;
  /** Source address of what it sends, 0: the route's. Linux: inet_saddr. */
  srcAddr: number;
  /** Peer. */
  daddr: number;
  /** Peer's port. */
  dport: number;
  /** Bound device, 0: any. */
  boundDevIf: number;
  /** Received, not yet read. */
  readonly receiveQueue: SkbQueue;
  /** Errors that wait for MSG_ERRQUEUE, with what they quote. */
  errorQueue: SkbQueue;
  /** truesize of what it holds. */
  rmemAlloc: number;
  /** SO_RCVBUF, doubled as Linux does. */
  rcvbuf: number;
  /** truesize of what is on its way out. */
  wmemAlloc: number;
  /** SO_SNDBUF, doubled. */
  sndbuf: number;
  /** Pending error, a positive errno; reading it clears it. */
  err: number;
  /** Soft error. */
  errSoft: number;
  /** RCV_SHUTDOWN, SEND_SHUTDOWN. */
  shutdown: number;
  /** SO_REUSEADDR. */
  reuseaddr: boolean;
  /** SO_REUSEPORT. */
  reuseport: boolean;
  /** SO_BROADCAST. */
  broadcast: boolean;
  /** SO_NO_CHECK: datagrams go without a checksum. */
  noCheckTx: boolean;
  /** SOCK_*_LOCK, SOCK_CONNECT_BIND. */
  userlocks: number;
  /** SO_LINGER is on: close() with {@linkcode lingertime} 0 aborts. */
  linger: boolean;
  /** Its time, seconds. */
  lingertime: number;
  /** SO_KEEPALIVE. */
  keepopen: boolean;
  /** SO_OOBINLINE. */
  urginline: boolean;
  /** SO_RCVLOWAT: bytes from which a reader is woken. */
  rcvlowat: number;
  /** Writers that wait for the connection: the ACK of its SYN-ACK waits for their data. Linux: sk_write_pending. */
  writePending: number;
  /** A sender found the buffer full: it is woken when half of it is free. Linux: SOCK_NOSPACE. */
  nospace: boolean;
  /** Closed. */
  dead: boolean;
  /** Packets dropped for want of room. */
  drops: number;
  /** IP_TOS. */
  tos: number;
  /** IP_TTL, 0: default. */
  ttl: number;
  /** IP_MTU_DISCOVER. */
  pmtudisc: number;
  /** IP_OPTIONS, null: none. */
  ipOptions: IpOptions | null;
  /** The last identification that it sent with while it has a peer, 16 bits. Linux: inet_id. */
  inetId: number;
  /** IP_RECVERR. */
  recverr: boolean;
  /** IP_FREEBIND: may be bound to an address that this host has not. */
  freebind: boolean;
  /** SO_ZEROCOPY: MSG_ZEROCOPY is answered in the error queue. */
  zerocopy: boolean;
  /** SO_MAX_PACING_RATE, bytes per second; -1: no bound. Linux: sk_max_pacing_rate. */
  maxPacingRate: number;
  /** Packets are spread over time, once anybody asked for it. Linux: sk_pacing_status other than SK_PACING_NONE. */
  pacing: boolean;
  /** Number of the next message with MSG_ZEROCOPY. Linux: sk_zckey. */
  zckey: number;
  /** SO_TIMESTAMPING: SOF_TIMESTAMPING_*. Linux: sk_tsflags. */
  tsflags: number;
  /** What numbers of time stamps count from. Linux: sk_tskey. */
  tskey: number;
  /** IP_MULTICAST_TTL. */
  mcTtl: number;
  /** IP_MULTICAST_LOOP. */
  mcLoop: boolean;
  /** IP_MULTICAST_IF as ifindex, 0: the route's. */
  mcIndex: number;
  /** IP_MULTICAST_IF as address. */
  mcAddr: number;
  /** IP_MULTICAST_ALL: also groups that this socket has not joined. */
  mcAll: boolean;
  /** Groups that it has joined. */
  mcList: readonly McMembership[];
  /** The route to the peer. */
  dst: Dst | null;
  /** The protocol's own part. */
  proto: unknown;
  /** Why accept gave null. */
  acceptError: number;
  /** Called synchronously at the outermost exit when poll() may have changed. Null: nobody. */
  onReady: (() => void) | null;
}

/** A multicast group that a socket has joined. Linux: struct ip_mc_socklist. */
export interface McMembership {
  /** The group. */
  readonly group: number;
  /** On which device. */
  readonly dev: NetDevice;
}

/** Bounds that all protocols of a net share. */
export interface SockLimits {
  /** net.ipv4.ip_local_port_range, first. */
  portLow: number;
  /** net.ipv4.ip_local_port_range, last. */
  portHigh: number;
  /** net.core.rmem_max, bytes. */
  rmemMax: number;
  /** net.core.wmem_max, bytes. */
  wmemMax: number;
  /** net.core.somaxconn: longest backlog of listen(). */
  somaxconn: number;
}

/** Sockets. */
export interface SockTable {
  /** Bounds. */
  readonly limits: SockLimits;
  /** A socket with the settings of another, which is a listener. Linux: sk_clone_lock(). */
  clone(sk: Sock): Sock;
  /** A socket whose protocol has {@linkcode ProtoOps.lingers} is over. Linux: sk_free(). */
  destroy(sk: Sock): void;
  /** Makes a socket of a family, type and protocol (0: the default); null with {@linkcode errno}. Linux: sock_create(). */
  create(family: number, type: number, protocol: number): Sock | null;
  /** Negative errno of the last create that gave null. */
  errno: number;
  /** Registers a protocol of a family and type. Linux: inet_register_protosw(). */
  register(sw: ProtoSw): () => void;
  /** Ends a socket: protocol close, queue purge. Linux: sk_common_release(). */
  release(sk: Sock): void;
  /** SOL_SOCKET options; `value2`: the second word of one that has two. */
  setsockopt(sk: Sock, name: number, value: number, value2?: number): number;
  /** SOL_SOCKET options; value or negative errno. */
  getsockopt(sk: Sock, name: number): number;
  /** All sockets that live. */
  list(): readonly Sock[];
}

/** One row of the family's protocol switch. Linux: struct inet_protosw. */
export interface ProtoSw {
  /** AF_*. */
  readonly family: number;
  /** SOCK_*. */
  readonly type: number;
  /** IPPROTO_*; 0: any that the caller names. */
  readonly protocol: number;
  /** Its protocol. */
  readonly ops: ProtoOps;
  /** Another protocol is this type's default: socket() with protocol 0 does not choose it. */
  readonly secondary?: boolean;
}

/** Its token. */
export const SOCK: Token<SockTable> = { name: "netpath:sock" };

/** Registers a protocol for socket(). Linux: inet_register_protosw(). */
export function sockRegister(net: Net, sw: ProtoSw): Disposable {
  return net.registration(() => net.get(SOCK).register(sw));
}

/** Data came: wakes the readers, at the outermost exit, once. Linux: sk_data_ready(). */
export function skDataReady(sk: Sock): void {
  if (!sk.ready && !sk.dead) sk.machine.wakeLater(sk);
}

/** Room came: wakes the writers. Linux: sk_write_space(). */
export function skWriteSpace(sk: Sock): void {
  if (!sk.dead) sk.machine.wakeLater(sk);
}

/** An error came: the next call gives it. Linux: sk_error_report(). */
export function skErrorReport(sk: Sock, errno: number): void {
  sk.err = errno;
  if (!sk.dead) sk.machine.wakeLater(sk);
}

/** Charges a packet that is sent to its socket. Borrows `skb`. Linux: skb_set_owner_w(). */
export function skbSetOwnerW(skb: SkBuff, sk: Sock): void {
  skb.owner = sk.owner;
  skb.destructor = 1;
  skb.mark = sk.owner.mark;
  skb.priority = sk.owner.priority;
  sk.wmemAlloc += skb.truesize;
}

/** Charges a packet that is received. Borrows `skb`. Linux: skb_set_owner_r(). */
export function skbSetOwnerR(skb: SkBuff, sk: Sock): void {
  skb.owner = sk.owner;
  skb.destructor = 2;
  sk.rmemAlloc += skb.truesize;
}
