/**
 * `node:http` and `node:https` over the stack: their servers take connections of {@linkcode Server}, their clients make
 * them with an agent; undici with a connector.
 */
import http from "node:http";
import https from "node:https";
import type { Duplex } from "node:stream";
import tls from "node:tls";
import type { Net } from "../../../core/mod.ts";
import type { AddressInfo, ConnectOptions, ListenOptions } from "./contract.ts";
import { codedError } from "./errors.ts";
import { Server } from "./server.ts";
import { Socket } from "./socket.ts";

/** An agent whose connections are of a net: give it to `http.request()`, or to whatever takes a `node:http` agent. */
export class Agent extends http.Agent {
  readonly #net: Net;

  /** An agent of `net`; `options` as Node's. */
  constructor(net: Net, options: http.AgentOptions = {}) {
    super(options);
    this.#net = net;
  }

  /** Used by `node:http`. */
  override createConnection(options: http.ClientRequestArgs): Duplex {
    const target = options as unknown as ConnectOptions;
    return new Socket(this.#net, target).connect({ ...target, port: target.port || 80 });
  }
}

/** The same for `https.request()`: TLS over a connection of the net. */
export class HttpsAgent extends https.Agent {
  readonly #net: Net;

  /** An agent of `net`; `options` as Node's. */
  constructor(net: Net, options: https.AgentOptions = {}) {
    super(options);
    this.#net = net;
  }

  /** Used by `node:https`. */
  override createConnection(options: https.RequestOptions): Duplex {
    const target = options as unknown as ConnectOptions;
    const socket = new Socket(this.#net, target).connect({ ...target, port: target.port || 443 });
    return overTls(socket, options as tls.ConnectionOptions);
  }
}

function overTls(socket: Socket, options: tls.ConnectionOptions): tls.TLSSocket {
  try {
    const secure = tls.connect({ ...options, socket });
    // What a connection cannot do is told where the application listens.
    socket.on("error", (error) => secure.destroy(error));
    return secure;
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

/** What undici asks a connector for. */
export interface ConnectorOptions {
  /** `http:` or `https:`. */
  protocol: string;
  /** Where to. */
  hostname: string;
  /** Port; empty: the protocol's. */
  port: string;
  /** For TLS, where the host is a name. */
  servername?: string | null;
}

/** Takes the connection, or the error. */
export type ConnectorCallback = (error: Error | null, socket: Duplex | null) => void;

/**
 * A connector of undici whose connections are of `net`: `new undici.Agent({ connect: connector(net) })`. `options` are
 * those of TLS, `lookup` and the other ones of a connection.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { createHost, Machine } from "@netpath/stack";
 * import { connector } from "@netpath/stack/node";
 *
 * using machine = new Machine();
 * const connect = connector(createHost({ machine }).net);
 * const error = await new Promise((resolve) => connect({ protocol: "http:", hostname: "127.0.0.1", port: "" }, resolve));
 * assertEquals(String(error), "Error: connect ECONNREFUSED 127.0.0.1:80");
 * ```
 */
export function connector(
  net: Net,
  options: Omit<ConnectOptions, "host" | "port"> & tls.ConnectionOptions = {},
): (target: ConnectorOptions, callback: ConnectorCallback) => void {
  return (target, callback) => {
    const { protocol, hostname, port, servername } = target;
    const secure = protocol === "https:";
    const to: ConnectOptions = {
      noDelay: true,
      ...options as ConnectOptions,
      host: hostname,
      port: port || (secure ? 443 : 80),
    };
    const socket = new Socket(net, to).connect(to);
    const name = servername ? { host: hostname, servername } : { host: hostname };
    const stream: Duplex = secure ? overTls(socket, { ALPNProtocols: ["http/1.1"], ...options, ...name }) : socket;
    const failed = (error: Error): void => callback(error, null);
    stream.once("error", failed).once(secure ? "secureConnect" : "connect", () => {
      stream.removeListener("error", failed);
      callback(null, stream);
    });
  };
}

/**
 * Makes an HTTP server of `node:http` or `node:https` a server of `net`: its `listen()`, `close()`, `address()` and `listening` are the
 * stack's from now on. Gives it back.
 *
 * @example
 * ```ts
 * import { createServer } from "node:http";
 * import { assertEquals } from "@std/assert";
 * import { createHost, Machine } from "@netpath/stack";
 * import { httpOver } from "@netpath/stack/node";
 *
 * using machine = new Machine();
 * const { net } = createHost({ machine });
 * const server = httpOver(net, createServer());
 * server.listen(80);
 * assertEquals(server.address(), { address: "0.0.0.0", family: "IPv4", port: 80 });
 * await new Promise((resolve) => server.close(resolve));
 * ```
 */
export function httpOver<T extends http.Server | https.Server>(net: Net, server: T): T {
  const under = new Server(net, { noDelay: true }, (socket) => void server.emit("connection", socket));
  const close = server.close;
  under.on("listening", () => server.emit("listening"));
  under.on("error", (error) => server.emit("error", error));
  under.on("drop", (drop) => server.emit("drop", drop));
  // Node's own: what it keeps for connections goes, and the event `close` comes.
  under.on("close", () => void close.call(server));
  const own = {
    listen(...args: unknown[]): T {
      const listener = args.at(-1);
      if (typeof listener === "function") server.once("listening", listener as () => void);
      const plain = typeof listener === "function" ? args.slice(0, -1) : args;
      if (server.maxConnections !== undefined) under.maxConnections = server.maxConnections;
      under.listen(...plain as [ListenOptions]);
      return server;
    },
    close(callback?: (error?: Error) => void): T {
      if (!under.listening) {
        const error = codedError("ERR_SERVER_NOT_RUNNING", "Server is not running.");
        if (callback !== undefined) queueMicrotask(() => callback(error));
        return server;
      }
      if (callback !== undefined) server.once("close", () => callback());
      under.close();
      server.closeIdleConnections();
      return server;
    },
    address: (): AddressInfo | null => under.address(),
    getConnections(callback: (error: Error | null, count: number) => void): T {
      under.getConnections(callback);
      return server;
    },
    ref(): T {
      under.ref();
      return server;
    },
    unref(): T {
      under.unref();
      return server;
    },
  };
  Object.assign(server, own);
  Object.defineProperty(server, "listening", { get: () => under.listening, configurable: true });
  if (net.machine.platform.virtual) server.prependListener("request", (_, response) => dateOf(net, response));
  return server;
}

/** Node reads the host's clock for this header: responses of two runs in virtual time would differ. */
function dateOf(net: Net, response: http.ServerResponse): void {
  if (response.sendDate) response.setHeader("Date", new Date(net.machine.platform.wallClock()).toUTCString());
}

/**
 * An HTTP server of `node:http` or `node:https` that listens on `net`: {@linkcode httpOver} and `listen()`.
 *
 * @example
 * ```ts
 * import { createServer, get, type IncomingMessage } from "node:http";
 * import { assertEquals } from "@std/assert";
 * import { createHost, Machine } from "@netpath/stack";
 * import { Agent, serveHttp } from "@netpath/stack/node";
 *
 * using machine = new Machine();
 * const { net } = createHost({ machine });
 * const server = serveHttp(net, createServer((request, response) => response.end(`you ask for ${request.url}`)), { port: 80 });
 * const response = await new Promise<IncomingMessage>((resolve) =>
 *   get({ host: "127.0.0.1", path: "/there", agent: new Agent(net) }, resolve)
 * );
 * let text = "";
 * for await (const chunk of response) text += chunk;
 * assertEquals(text, "you ask for /there");
 * await new Promise((resolve) => server.close(resolve));
 * ```
 */
export function serveHttp<T extends http.Server | https.Server>(net: Net, server: T, options: ListenOptions = {}): T {
  return httpOver(net, server).listen(options) as T;
}
