/**
 * The SOCKS5 door: what it is told, and what it counts. RFC 1928, RFC 1929.
 *
 * @module
 */

/** Port of SOCKS servers. */
export const SOCKS_PORT = 1080;

/** What a reply says. RFC 1928 section 6. */
export const SOCKS_REPLY = {
  SUCCEEDED: 0,
  GENERAL_FAILURE: 1,
  NOT_ALLOWED: 2,
  NETWORK_UNREACHABLE: 3,
  HOST_UNREACHABLE: 4,
  CONNECTION_REFUSED: 5,
  TTL_EXPIRED: 6,
  COMMAND_NOT_SUPPORTED: 7,
  ADDRESS_TYPE_NOT_SUPPORTED: 8,
} as const;

/** Options of {@linkcode socksServer}. */
export interface SocksOptions {
  /** Port of this machine; 0: a free one. Default 1080. */
  port?: number;
  /** Address of this machine. Default `127.0.0.1`; another one that is not a loopback's needs {@linkcode auth}. */
  hostname?: string;
  /** User name and password that are asked for, 1 to 255 bytes each. Default: nobody is asked. */
  auth?: { readonly username: string; readonly password: string };
  /** Addresses of names. Default: the net's resolver, where it has one. A rejection: there is no such name. */
  lookup?: (name: string) => string | Promise<string>;
  /** Where connections may go: false refuses, code 2. Default: everywhere. */
  allow?: (address: string, port: number) => boolean;
  /** Connections at once; with more, new ones are closed. Default 256. */
  maxConnections?: number;
  /** ms for all that comes before the connection. Default 10,000. */
  handshakeTimeout?: number;
}

/** What a door has seen. */
export interface SocksStats {
  /** Clients that came. */
  accepted: number;
  /** Clients that were closed at once: too many. */
  refused: number;
  /** Clients that did not speak SOCKS5, not to its end, or not in time. */
  malformed: number;
  /** Clients whose name or password was wrong, or that did not offer them. */
  denied: number;
  /** Replies, by {@linkcode SOCKS_REPLY}. */
  readonly replies: number[];
  /** Bytes from clients into the net. */
  bytesIn: number;
  /** Bytes from the net to clients. */
  bytesOut: number;
}

/** A door that is open. */
export interface SocksServer extends AsyncDisposable {
  /** Where it listens, on this machine. */
  readonly addr: { readonly hostname: string; readonly port: number };
  /** Clients that are there. */
  readonly connections: number;
  /** Counts. */
  readonly stats: SocksStats;
  /** Closes it and all connections through it; resolves when they have ended. */
  close(): Promise<void>;
}
