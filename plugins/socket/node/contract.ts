/**
 * The shapes of the Node-like socket face: those of `node:net`, as far as there is TCP over IPv4.
 *
 * @module
 */

/** An error as Node's have it. */
export interface NodeError extends Error {
  /** `ECONNREFUSED`. */
  code: string;
  /** The errno, negated. */
  errno?: number;
  /** `connect`, `listen`, `read`, `write`, `getaddrinfo`. */
  syscall?: string;
  /** The address that the call was about. */
  address?: string;
  /** The port that the call was about. */
  port?: number;
}

/** What address() gives. Node's `AddressInfo`. */
export interface AddressInfo {
  /** `10.0.0.1`. */
  address: string;
  /** `IPv4`. */
  family: string;
  /** Port. */
  port: number;
}

/** Resolves a name. Node's `LookupFunction`, for one address. */
export type Lookup = (
  hostname: string,
  options: { family: 4; hints: number; all: false },
  callback: (error: Error | null, address: string, family?: number) => void,
) => void;

/** Options of a socket. */
export interface SocketOptions {
  /** A connected descriptor of the net's system calls, which the socket owns from now on. */
  fd?: number;
  /** The writable does not end when the peer's half does. Default false. */
  allowHalfOpen?: boolean;
  /** TCP_NODELAY from the start. Default false. */
  noDelay?: boolean;
  /** SO_KEEPALIVE from the start. Default false. */
  keepAlive?: boolean;
  /** Milliseconds of idleness before the first probe; 0: the net's default. */
  keepAliveInitialDelay?: number;
  /** Bytes that wait on either side before the peer or the writer is held. Default: Node's. */
  highWaterMark?: number;
  /** Aborting it destroys the socket. */
  signal?: AbortSignal;
}

/** Options of a connection. */
export interface ConnectOptions extends SocketOptions {
  /** The peer's port. */
  port: number | string;
  /** The peer's address, `localhost`, or a name where there is a {@linkcode ConnectOptions.lookup}. Default `localhost`. */
  host?: string | null;
  /** Binds to this address of the net first. */
  localAddress?: string;
  /** Binds to this port first. */
  localPort?: number;
  /** Resolves names, as `nodeLookup()` of `@netpath/stack/dns` does. Default: addresses and `localhost` only. */
  lookup?: Lookup;
  /** Milliseconds without activity before the event `timeout`; see `setTimeout()`. */
  timeout?: number;
}

/** Options of a server. */
export interface ServerOptions {
  /** See {@linkcode SocketOptions.allowHalfOpen}; of the connections. */
  allowHalfOpen?: boolean;
  /** Connections do not read before somebody resumes them. Default false. */
  pauseOnConnect?: boolean;
  /** TCP_NODELAY on connections. Default false. */
  noDelay?: boolean;
  /** SO_KEEPALIVE on connections. Default false. */
  keepAlive?: boolean;
  /** Milliseconds of idleness before the first probe. */
  keepAliveInitialDelay?: number;
  /** See {@linkcode SocketOptions.highWaterMark}; of the connections. */
  highWaterMark?: number;
}

/** Options of listen(). */
export interface ListenOptions {
  /** Port. Default 0: a free one. */
  port?: number | string;
  /** An address of the net, or `localhost`. Default: all of them. */
  host?: string;
  /** Connections that may wait to be accepted. Default 511. */
  backlog?: number;
  /** Several listeners share the port, if all say so. Default false. */
  reusePort?: boolean;
  /** Aborting it closes the server. */
  signal?: AbortSignal;
}

/** What the event `drop` tells: a connection that {@linkcode Server.maxConnections} refused. */
export interface DropArgument {
  /** Our address. */
  localAddress: string;
  /** Our port. */
  localPort: number;
  /** `IPv4`. */
  localFamily: string;
  /** The peer's address. */
  remoteAddress: string;
  /** The peer's port. */
  remotePort: number;
  /** `IPv4`. */
  remoteFamily: string;
}
