/**
 * The shapes of the HTTP face: those of `Deno.serve()`, `fetch()` and of WinterTC's socket API.
 *
 * @module
 */
import type { TcpAddr } from "../deno/contract.ts";

/** What a handler is told beside the request. */
export interface ServeHandlerInfo {
  /** The client's address. */
  remoteAddr: TcpAddr;
  /** Resolves when the response has been sent; rejects when it could not be. */
  completed: Promise<void>;
}

/** Answers a request. */
export type ServeHandler = (request: Request, info: ServeHandlerInfo) => Response | Promise<Response>;

/** Options of {@linkcode serve}. Those of `Deno.serve()`. */
export interface ServeOptions {
  /** Port. Default 8000, as Deno's; 0: a free one. */
  port?: number;
  /** An address of the net, or `localhost`. Default `0.0.0.0`: all of them. */
  hostname?: string;
  /** Connections that may wait to be accepted. Default 511. */
  tcpBacklog?: number;
  /** Several servers share the port, if all say so. Default false. */
  reusePort?: boolean;
  /** Aborting it closes the server and its connections at once. */
  signal?: AbortSignal;
  /** Called when it listens. */
  onListen?: (addr: TcpAddr) => void;
  /** The response when a handler throws. Default: 500, and the error on the console. */
  onError?: (error: unknown) => Response | Promise<Response>;
}

/** A server. Has what `Deno.HttpServer` has. */
export interface HttpServer extends AsyncDisposable {
  /** Where it listens. */
  readonly addr: TcpAddr;
  /** Resolves when it has ended. */
  readonly finished: Promise<void>;
  /** Connections that wait keep the process running, where the machine has a real clock. The default. */
  ref(): void;
  /** They do not. */
  unref(): void;
  /** Accepts no more; resolves when the requests that are under way have been answered. */
  shutdown(): Promise<void>;
}

/** Options of {@linkcode fetchOver}. */
export interface FetchOverOptions {
  /** Resolves names, as `lookup()` of `@netpath/stack/dns` does. Default: addresses and `localhost` only. */
  lookup?: (hostname: string) => string | Promise<string>;
}

/** `fetch` of a net. */
export type Fetch = (input: string | URL | Request, init?: RequestInit) => Promise<Response>;

/** Where a socket of WinterTC's API goes to. */
export interface SocketAddress {
  /** An address, or `localhost`. */
  hostname: string;
  /** Port. */
  port: number;
}

/** Options of a socket of WinterTC's API. */
export interface SocketOptions {
  /** There is no TLS: `off` is all it takes. */
  secureTransport?: "off";
  /** The writable stays open when the peer's half has ended. Default false. */
  allowHalfOpen?: boolean;
}

/** What is known of a socket that is open. */
export interface SocketInfo {
  /** `10.0.0.2:80`. */
  remoteAddress: string;
  /** `10.0.0.1:40000`. */
  localAddress: string;
}

/** A socket of WinterTC's API. https://sockets-api.proposal.wintertc.org */
export interface Socket {
  /** The received bytes. */
  readonly readable: ReadableStream<Uint8Array>;
  /** Bytes to send; closing it closes our half. */
  readonly writable: WritableStream<Uint8Array>;
  /** Resolves when it is connected, rejects when it cannot be. */
  readonly opened: Promise<SocketInfo>;
  /** Resolves when it is closed, rejects when it was cut off. */
  readonly closed: Promise<void>;
  /** Always false: no TLS is put over it. */
  readonly upgraded: boolean;
  /** Always `off`. */
  readonly secureTransport: "off";
  /** Closes it. */
  close(reason?: unknown): Promise<void>;
}
