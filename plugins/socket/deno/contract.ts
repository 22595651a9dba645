/**
 * The shapes of the Deno-like socket face. They are assignable to Deno's own and do not name them, so that they can be
 * used where Deno is not.
 *
 * @module
 */

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
