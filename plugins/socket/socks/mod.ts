/**
 * A SOCKS5 door into a net: programs of this machine reach its hosts without root and without an interface. `curl` and the
 * built-in `fetch` speak SOCKS5, as browsers do. RFC 1928 (CONNECT over IPv4), RFC 1929.
 *
 * It listens on a real socket of this machine and connects over the stack. Names are resolved inside the net: let the
 * client leave that to the door (`socks5h://`). An error comes back as its own code, so that a program can tell a refused
 * connection from a host that is not there.
 *
 * Who can reach the door can reach the net; so it listens on a loopback address unless it asks for a password.
 *
 * Not there: BIND, UDP ASSOCIATE, IPv6.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { createHost, Machine } from "@netpath/stack";
 * import { resolver } from "@netpath/stack/dns";
 * import { serve } from "@netpath/stack/http";
 * import { socksServer } from "@netpath/stack/socks";
 *
 * using machine = new Machine();
 * const { net } = createHost({ machine, plugins: [resolver({ hosts: { "web.lab": "127.0.0.1" } })] });
 * await using server = serve(net, { port: 80 }, () => new Response("hello"));
 * await using door = socksServer(net, { port: 0 });
 * // curl --proxy socks5h://127.0.0.1:PORT http://web.lab/
 * using client = Deno.createHttpClient({ proxy: { url: `socks5h://127.0.0.1:${door.addr.port}` } });
 * assertEquals(await (await fetch("http://web.lab/", { client })).text(), "hello");
 * ```
 *
 * @module
 */
import type { Net } from "../../../core/mod.ts";
import { Client } from "./client.ts";
import { SOCKS_PORT, type SocksOptions, type SocksServer, type SocksStats } from "./contract.ts";

export * from "./contract.ts";

/**
 * Opens a door into `net`. Needs `--allow-net` for the address that it listens on. Options that make no sense are a
 * TypeError or a RangeError; what listening throws (`AddrInUse`, `PermissionDenied`) is Deno's.
 */
export function socksServer(net: Net, options: SocksOptions = {}): SocksServer {
  const { hostname = "127.0.0.1", port = SOCKS_PORT, auth } = options;
  const what = `Cannot open a SOCKS door on ${hostname}:${port}`;
  if (!Number.isInteger(port) || port < 0 || port > 0xffff) {
    throw new RangeError(`${what}: a port is a whole number from 0 to 65535`);
  }
  for (const text of auth === undefined ? [] : [auth.username, auth.password]) {
    const { length } = new TextEncoder().encode(text);
    if (length < 1 || length > 255) throw new RangeError(`${what}: name and password have 1 to 255 bytes each`);
  }
  if (auth === undefined && !/^(127\.\d+\.\d+\.\d+|localhost|::1)$/.test(hostname)) {
    throw new TypeError(`${what}: others could reach the net; say a password in auth, or listen on 127.0.0.1`);
  }
  return new Door(net, Deno.listen({ hostname, port }), options);
}

class Door implements SocksServer {
  readonly addr: { readonly hostname: string; readonly port: number };
  readonly stats: SocksStats = {
    accepted: 0,
    refused: 0,
    malformed: 0,
    denied: 0,
    replies: new Array<number>(9).fill(0),
    bytesIn: 0,
    bytesOut: 0,
  };
  readonly #net: Net;
  readonly #listener: Deno.TcpListener;
  readonly #options: SocksOptions;
  readonly #clients: Map<Client, Promise<void>> = new Map();
  readonly #done: Promise<void>;

  constructor(net: Net, listener: Deno.TcpListener, options: SocksOptions) {
    this.#net = net;
    this.#listener = listener;
    this.#options = options;
    const { hostname, port } = listener.addr;
    this.addr = { hostname, port };
    this.#done = this.#serve();
  }

  get connections(): number {
    return this.#clients.size;
  }

  async close(): Promise<void> {
    try {
      this.#listener.close();
    } catch {
      // It was closed before.
    }
    for (const client of this.#clients.keys()) client.close();
    await this.#done;
    await Promise.all(this.#clients.values());
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #serve(): Promise<void> {
    const most = this.#options.maxConnections ?? 256;
    for await (const conn of this.#listener) {
      this.stats.accepted++;
      if (this.#clients.size >= most) {
        this.stats.refused++;
        conn.close();
        continue;
      }
      const client = new Client(this.#net, conn, this.#options, this.stats);
      this.#clients.set(client, client.run().then(() => void this.#clients.delete(client)));
    }
  }
}
