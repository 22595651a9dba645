/**
 * The shapes of the Deno-like socket face. They are assignable to Deno's own and do not name them, so that they can be
 * used where Deno is not. {@linkcode connect} and {@linkcode listen} are here too: what is built on the face begins there.
 *
 * @module
 */
export { connect } from "./connect.ts";
export { listen } from "./listener.ts";
export { listenAny } from "./any.ts";

/** An address of a socket. Assignable to `Deno.NetAddr`. */
export interface UdpAddr {
  /** Always `udp`. */
  transport: "udp";
  /** `10.0.0.1`. */
  hostname: string;
  /** Port. */
  port: number;
}

/** Options of {@linkcode listenDatagram}. Those of `Deno.listenDatagram()`. */
export interface ListenDatagramOptions {
  /** Port. Default 0: a free one. */
  port?: number;
  /** An address of the net, or `localhost`. Default `0.0.0.0`: all of them. */
  hostname?: string;
  /** UDP is what there is. */
  transport?: "udp";
  /** Several sockets may have the address and port, if all say so. Default false. */
  reuseAddress?: boolean;
  /** Multicast that it sends comes back to this net. Default false. */
  loopback?: boolean;
  /** SO_BROADCAST: sending to a broadcast address is allowed. Default false. Not in Deno. */
  broadcast?: boolean;
}

/** Membership of a multicast group. Assignable to `Deno.MulticastV4Membership`. */
export interface MulticastMembership {
  /** Leaves the group. */
  leave: () => Promise<void>;
  /** Multicast that this socket sends comes back to this net. */
  setLoopback: (loopback: boolean) => Promise<void>;
  /** TTL of multicast that this socket sends. */
  setTTL: (ttl: number) => Promise<void>;
}

/** A datagram socket. Assignable to `Deno.DatagramConn`. */
export interface DatagramConn extends AsyncIterable<[Uint8Array<ArrayBuffer>, UdpAddr]>, Disposable {
  /** The address that it is bound to. */
  readonly addr: UdpAddr;
  /** Joins an IPv4 group on the interface that has the address `networkInterface` (`0.0.0.0`: by route). */
  joinMulticastV4(address: string, networkInterface: string): Promise<MulticastMembership>;
  /** Rejects with {@linkcode NotSupported}: there is no IPv6. */
  joinMulticastV6(address: string, networkInterface: number): Promise<MulticastMembership>;
  /**
   * The next datagram and its sender. With `p` it is copied there, as far as it fits; without, into new memory of its
   * size. Calls are served in order. Rejects with {@linkcode Interrupted} when the socket is closed meanwhile, with
   * {@linkcode BadResource} when it is closed already.
   */
  receive(p?: Uint8Array): Promise<[Uint8Array<ArrayBuffer>, UdpAddr]>;
  /** Sends a datagram; the bytes sent. Waits while the send buffer is full. Calls are served in order. */
  send(p: Uint8Array, addr: UdpAddr): Promise<number>;
  /** Closes; calls that wait are rejected. A second time is {@linkcode BadResource}. */
  close(): void;
  /** Datagrams until it is closed. */
  [Symbol.asyncIterator](): AsyncIterableIterator<[Uint8Array<ArrayBuffer>, UdpAddr]>;
}

/** An address of a TCP socket. Assignable to `Deno.NetAddr`. */
export interface TcpAddr {
  /** Always `tcp`. */
  transport: "tcp";
  /** `10.0.0.1`. */
  hostname: string;
  /** Port. */
  port: number;
}

/** Options of {@linkcode connect}. Those of `Deno.connect()`. */
export interface ConnectOptions {
  /** The peer's port. */
  port: number;
  /** The peer's address, or `localhost`. Default `127.0.0.1`. */
  hostname?: string;
  /** TCP is what there is. */
  transport?: "tcp";
  /** Aborting it ends the attempt; the promise is rejected with the signal's reason. */
  signal?: AbortSignal;
}

/** Options of {@linkcode listen}. Those of `Deno.listen()`. */
export interface ListenOptions {
  /** Port. Default 0: a free one. */
  port?: number;
  /** An address of the net, or `localhost`. Default `0.0.0.0`: all of them. */
  hostname?: string;
  /** TCP is what there is. */
  transport?: "tcp";
  /** Connections that may wait for accept(). Default 511, as Deno's. */
  tcpBacklog?: number;
  /** Several listeners share the port, if all say so. Default false. */
  reusePort?: boolean;
  /** A port whose old connections are in TIME-WAIT may be bound. Default true, as Deno has it. Not in Deno. */
  reuseAddress?: boolean;
}

/** Options of {@linkcode listenAny}. */
export interface ListenAnyOptions {
  /**
   * Whether to take what is sent to this address and port. Asked for each segment to an address that is not the net's, and
   * for each new connection: it must be quick and give the same answer each time. Default: all.
   */
  accept?: (address: { hostname: string; port: number }) => boolean;
  /** Connections that may wait for accept(). Default 511. */
  tcpBacklog?: number;
}

/** A TCP connection. Assignable to `Deno.TcpConn`. */
export interface TcpConn extends Disposable {
  /** Our address. */
  readonly localAddr: TcpAddr;
  /** The peer's address. */
  readonly remoteAddr: TcpAddr;
  /**
   * Reads what is there into `p`, waiting for the first byte; how many bytes, or null: the peer has closed its half.
   * Calls are served in order. Rejects with {@linkcode ConnectionReset}, {@linkcode TimedOut}, with
   * {@linkcode Interrupted} when the connection is closed meanwhile, with {@linkcode BadResource} when it is already.
   */
  read(p: Uint8Array): Promise<number | null>;
  /**
   * Writes; resolves with the length of `p` when all of it is in the send buffer, so that a peer that does not read
   * holds the writer. Calls are served in order; `p` must stay as it is until then. Rejects with
   * {@linkcode BrokenPipe} and as read() does.
   */
  write(p: Uint8Array): Promise<number>;
  /** Closes our half, after the writes that wait. {@linkcode NotConnected} when there is no connection any more. */
  closeWrite(): Promise<void>;
  /** Closes; calls that wait are rejected. What is in the send buffer still goes. A second time is {@linkcode BadResource}. */
  close(): void;
  /** TCP_NODELAY: small writes do not wait for acknowledgements. */
  setNoDelay(noDelay?: boolean): void;
  /** SO_KEEPALIVE: an idle connection is probed. */
  setKeepAlive(keepAlive?: boolean): void;
  /** Calls that wait keep the process running, where the machine has a real clock. The default. */
  ref(): void;
  /** They do not. */
  unref(): void;
  /**
   * The received bytes; takes a BYOB reader. It reads only when it is asked, so that who does not read holds the peer.
   * Its end and its cancelling close the connection, as in Deno.
   */
  readonly readable: ReadableStream<Uint8Array<ArrayBuffer>>;
  /** Bytes to send. Its closing and aborting close the connection, as in Deno; closeWrite() closes one half. */
  readonly writable: WritableStream<Uint8Array<ArrayBufferLike>>;
}

/** A listener. Assignable to `Deno.TcpListener`. */
export interface TcpListener extends AsyncIterable<TcpConn>, Disposable {
  /** The address that it is bound to. */
  readonly addr: TcpAddr;
  /** The next connection. Calls are served in order. Rejects with {@linkcode BadResource} when the listener is closed. */
  accept(): Promise<TcpConn>;
  /** Closes; calls that wait are rejected. A second time is {@linkcode BadResource}. */
  close(): void;
  /** Calls that wait keep the process running, where the machine has a real clock. The default. */
  ref(): void;
  /** They do not. */
  unref(): void;
  /** Connections until it is closed. */
  [Symbol.asyncIterator](): AsyncIterableIterator<TcpConn>;
}

/** Options of {@linkcode ping}. */
export interface PingOptions {
  /** Sequence number of the request, 16 bits. Default 1. */
  seq?: number;
  /** Payload bytes. Default 56. */
  size?: number;
  /** TTL of the request. Default: the net's. */
  ttl?: number;
  /** Milliseconds to wait for the reply. Default 1,000. */
  timeout?: number;
  /** Type of service. Default 0. */
  tos?: number;
  /** The request must not be fragmented. Default false. */
  dontFragment?: boolean;
}

/** What came back. */
export interface PingReply {
  /** Sequence number. */
  seq: number;
  /** TTL that the reply arrived with. */
  ttl: number;
  /** Round trip in ns of the machine's clock. */
  timeNs: number;
  /** Payload bytes, without the ICMP header. */
  bytes: number;
  /** Who answered. */
  from: string;
}
