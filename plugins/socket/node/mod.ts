/**
 * The Node-like socket face: `node:net`'s Socket (a stream.Duplex) and Server, with its options, events and errors, so
 * that what takes a socket, a server or an agent of Node runs over the stack: `node:http`, `node:https`, Express, Hono's
 * Node server, ws, undici.
 *
 * What differs from `node:net`: the functions take the net first (or come from {@linkcode nodeNet} without it), there is
 * IPv4 only, no path, and no resolver but the one that `lookup` brings. `setTimeout()` counts on the machine's clock.
 *
 * @example
 * ```ts
 * import { once } from "node:events";
 * import { assertEquals } from "@std/assert";
 * import { createHost, Machine } from "@netpath/stack";
 * import { connect, createServer } from "@netpath/stack/node";
 *
 * using machine = new Machine();
 * const { net } = createHost({ machine });
 * const server = createServer(net, (socket) => socket.end("welcome"));
 * server.listen(7);
 * const socket = connect(net, { port: 7, host: "127.0.0.1" });
 * let text = "";
 * for await (const chunk of socket) text += chunk;
 * assertEquals(text, "welcome");
 * server.close();
 * await once(server, "close");
 * ```
 *
 * @module
 */
import type { Net } from "../../../core/mod.ts";
import type { ConnectOptions, ServerOptions, SocketOptions } from "./contract.ts";
import { Server } from "./server.ts";
import { Socket } from "./socket.ts";
import { normalizeConnect } from "./args.ts";

export * from "./contract.ts";
export {
  Agent,
  connector,
  type ConnectorCallback,
  type ConnectorOptions,
  httpOver,
  HttpsAgent,
  serveHttp,
} from "./http.ts";
export { Server } from "./server.ts";
export { Socket } from "./socket.ts";

/** A connection of `net`, under way: `(options, listener?)`. Node: net.connect(), net.createConnection(). */
export function connect(net: Net, options: ConnectOptions, listener?: () => void): Socket;
/** The same: `(port, host?, listener?)`. */
export function connect(net: Net, port: number | string, host?: string, listener?: () => void): Socket;
/** The same: `(port, listener?)`. */
export function connect(net: Net, port: number | string, listener?: () => void): Socket;
/** The same. */
export function connect(net: Net, ...args: unknown[]): Socket {
  const { options, listener } = normalizeConnect(args);
  return listener === null
    ? new Socket(net, options).connect(options)
    : new Socket(net, options).connect(options, listener);
}

/** A server of `net`: `(options?, listener?)`. Node: net.createServer(). */
export function createServer(net: Net, options?: ServerOptions, listener?: (socket: Socket) => void): Server;
/** The same: `(listener)`. */
export function createServer(net: Net, listener: (socket: Socket) => void): Server;
/** The same. */
export function createServer(
  net: Net,
  options: ServerOptions | ((socket: Socket) => void) = {},
  listener?: (socket: Socket) => void,
): Server {
  return typeof options === "function" ? new Server(net, {}, options) : new Server(net, options, listener);
}

/** `node:net` of a net, for code that takes the module. See {@linkcode nodeNet}. */
export interface NodeNet {
  /** Sockets of the net. */
  readonly Socket: new (options?: SocketOptions) => Socket;
  /** Servers of the net. */
  readonly Server: new (options?: ServerOptions, listener?: (socket: Socket) => void) => Server;
  /** See {@linkcode connect}. */
  connect(options: ConnectOptions, listener?: () => void): Socket;
  /** See {@linkcode connect}. */
  connect(port: number | string, host?: string, listener?: () => void): Socket;
  /** The same as connect(). */
  createConnection(options: ConnectOptions, listener?: () => void): Socket;
  /** The same as connect(). */
  createConnection(port: number | string, host?: string, listener?: () => void): Socket;
  /** See {@linkcode createServer}. */
  createServer(options?: ServerOptions, listener?: (socket: Socket) => void): Server;
  /** See {@linkcode createServer}. */
  createServer(listener: (socket: Socket) => void): Server;
}

/**
 * What `import net from "node:net"` gives, for a net of the stack.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { createHost, Machine } from "@netpath/stack";
 * import { nodeNet } from "@netpath/stack/node";
 *
 * using machine = new Machine();
 * const net = nodeNet(createHost({ machine }).net);
 * const error = await new Promise<unknown>((resolve) => net.connect(1, "127.0.0.1").on("error", resolve));
 * assertEquals(String(error), "Error: connect ECONNREFUSED 127.0.0.1:1");
 * ```
 */
export function nodeNet(net: Net): NodeNet {
  const to = (...args: unknown[]): Socket => connect(net, ...args as [ConnectOptions]);
  return {
    Socket: class extends Socket {
      constructor(options?: SocketOptions) {
        super(net, options);
      }
    },
    Server: class extends Server {
      constructor(options?: ServerOptions, listener?: (socket: Socket) => void) {
        super(net, options, listener);
      }
    },
    connect: to,
    createConnection: to,
    createServer: (...args: unknown[]) => createServer(net, ...args as [ServerOptions]),
  };
}
