/**
 * Where guests come in: WebSocket and QEMU's stream socket, on real sockets of this machine.
 */
import { qemuLink, webSocketLink } from "../../device/stream/mod.ts";
import type { Relay } from "./relay.ts";

/** Where guests come in. */
export interface GuestListener extends AsyncDisposable {
  /** `ws://127.0.0.1:8086/`, `127.0.0.1:1234`, or the path of a Unix socket. */
  readonly url: string;
  /** Takes no more guests; those that are there stay. */
  close(): Promise<void>;
}

/** Where a WebSocket door listens. */
export interface WebSocketDoor {
  /** Port; 0: a free one. Default 8086. */
  port?: number;
  /** Address of this machine. Default `127.0.0.1`. */
  hostname?: string;
  /**
   * Pages that may join, by their origin; `*`: all. Default: those of this machine (`localhost`, `127.0.0.1`). What is no
   * browser sends no origin and may always join: a page of any site could reach a loopback address otherwise.
   */
  origins?: readonly string[];
}

/** Where a QEMU door listens. */
export interface QemuAddress {
  /** Port; 0: a free one. Default 1234. */
  port?: number;
  /** Address of this machine. Default `127.0.0.1`. */
  hostname?: string;
  /** A Unix socket's path instead. */
  path?: string;
}

const LOCAL = /^https?:\/\/(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:\d+)?$/;

/** Opens a WebSocket door. */
export function listenWebSocket(relay: Relay, options: WebSocketDoor): GuestListener {
  const { port = 8086, hostname = "127.0.0.1", origins } = options;
  const allowed = (origin: string | null): boolean =>
    origin === null || (origins === undefined ? LOCAL.test(origin) : origins.includes("*") || origins.includes(origin));
  const server = Deno.serve({ hostname, port, onListen() {} }, (request) => {
    if (request.headers.get("upgrade")?.toLowerCase() !== "websocket") {
      return new Response("a guest joins here by WebSocket, an Ethernet frame in each binary message\n", {
        status: 426,
      });
    }
    if (!allowed(request.headers.get("origin"))) return new Response("this origin may not join\n", { status: 403 });
    if (relay.guests.length >= relay.maxGuests) {
      relay.turnedAway++;
      return new Response("too many guests\n", { status: 503 });
    }
    const { socket, response } = Deno.upgradeWebSocket(request, { idleTimeout: 60 });
    relay.join(webSocketLink(socket));
    return response;
  });
  const close = (): Promise<void> => server.shutdown();
  return {
    url: `ws://${hostname}:${server.addr.port}/`,
    close,
    [Symbol.asyncDispose]: () => end(relay, "websocket", close),
  };
}

/** Opens a QEMU door. */
export function listenQemu(relay: Relay, options: QemuAddress): GuestListener {
  const { port = 1234, hostname = "127.0.0.1", path } = options;
  const listener: Deno.Listener<Deno.TcpConn | Deno.UnixConn> = path === undefined
    ? Deno.listen({ hostname, port })
    : Deno.listen({ transport: "unix", path });
  const serving = (async () => {
    for await (const conn of listener) {
      // A frame should not wait for the next one.
      if ("setNoDelay" in conn) {
        conn.setNoDelay(true);
        // One whose machine is gone is found out.
        conn.setKeepAlive(true);
      }
      if (relay.guests.length >= relay.maxGuests) {
        relay.turnedAway++;
        conn.close();
      } else relay.join(qemuLink(conn));
    }
  })();
  let closed = false;
  const close = async (): Promise<void> => {
    if (!closed) listener.close();
    closed = true;
    await serving;
    if (path !== undefined) await Deno.remove(path).catch(() => {});
  };
  const url = path ?? `${hostname}:${(listener.addr as Deno.NetAddr).port}`;
  return { url, close, [Symbol.asyncDispose]: () => end(relay, "qemu", close) };
}

/** A server ends when its connections have: the guests that came by it go first. */
async function end(relay: Relay, way: string, close: () => Promise<void>): Promise<void> {
  const closing = close();
  await Promise.all(relay.guests.filter((g) => g.way === way).map(({ device }) => device[Symbol.asyncDispose]()));
  await closing;
}
