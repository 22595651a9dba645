/**
 * `Deno.connect`, `Deno.listen`, `Deno.listenDatagram`, `Deno.serve` and `fetch` over a net. What is no TCP or UDP over IP
 * stays Deno's own, with its permissions: unix sockets, TLS, `https:`.
 */
import type { Net } from "../../../core/mod.ts";
import { connect, type ConnectOptions, listen, listenDatagram, type ListenOptions } from "../../socket/deno/mod.ts";
import { fetchOver, serve, type ServeHandler, type ServeOptions } from "../../socket/http/mod.ts";
import { addressOf, inIpv4, type InstallOptions, type Swaps } from "./contract.ts";

type Call = (...args: unknown[]) => unknown;

interface AnyOptions {
  transport?: string;
  hostname?: string;
  path?: string;
  cert?: string;
}

/** Deno's default. */
const SERVE_PORT = 8000;

/** Puts them in place. */
export function swapDeno(net: Net, swaps: Swaps, { resolve }: InstallOptions): void {
  const ours = (o: AnyOptions, transport: string): boolean =>
    (o?.transport ?? transport) === transport && o.path === undefined && o.cert === undefined;
  const put = (name: string, transport: string, call: (options: never) => unknown): void => {
    const real = swaps.put(
      Deno,
      name,
      (options: AnyOptions) => ours(options, transport) ? call(options as never) : real(options),
    ) as Call;
  };
  put("connect", "tcp", async (options: ConnectOptions) => {
    const hostname = await addressOf(options.hostname ?? "127.0.0.1", resolve);
    return await connect(net, { ...options, hostname });
  });
  put("listen", "tcp", (options: ListenOptions) => listen(net, local(options)));
  put("listenDatagram", "udp", (options: ListenOptions) => listenDatagram(net, local(options) as never));
  swapServe(net, swaps, ours);
  swapFetch(net, swaps, resolve);
}

function local<T extends { hostname?: string }>(options: T): T {
  return options.hostname === undefined ? options : { ...options, hostname: inIpv4(options.hostname) };
}

function swapServe(net: Net, swaps: Swaps, ours: (o: AnyOptions, transport: string) => boolean): void {
  const real = swaps.put(Deno, "serve", (...args: unknown[]) => {
    const [first, second] = args;
    const given = (typeof first === "function" ? {} : first) as ServeOptions & { handler?: ServeHandler };
    const handler = (typeof first === "function" ? first : second ?? given.handler) as ServeHandler;
    if (!ours(given as AnyOptions, "tcp")) return real(...args);
    const onListen = given.onListen ??
      (({ hostname, port }) => console.log(`Listening on http://${hostname}:${port}/`));
    return serve(net, { port: SERVE_PORT, ...local(given), onListen }, handler);
  }) as Call;
}

function swapFetch(net: Net, swaps: Swaps, resolve: InstallOptions["resolve"]): void {
  const lookup = async (hostname: string): Promise<string> => await addressOf(hostname, resolve);
  const over = fetchOver(net, { lookup });
  const real = swaps.put(globalThis, "fetch", (input: RequestInfo | URL, init?: RequestInit) => {
    const url = input instanceof Request ? input.url : String(input);
    return /^http:/i.test(url) ? over(input, init) : real(input, init);
  }) as typeof fetch;
}
