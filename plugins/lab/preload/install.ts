/**
 * Unmodified programs on the stack: from `install()` on, `Deno.connect`, `Deno.listen`, `Deno.listenDatagram`, `Deno.serve`,
 * `fetch` of `http:`, `node:net`, `node:http` and `node:https` of this process use a net. Such a program needs no
 * `--allow-net`: what it says stays in the process, or goes where the net's devices lead.
 *
 * It belongs into a module that runs first, so that the program is not touched:
 *
 * ```sh
 * deno run --preload ./network.ts program.ts
 * ```
 *
 * What stays Deno's own, with its permissions: unix sockets, `Deno.connectTls` and the like, `https:` of `fetch`, WebSocket,
 * UDP of `node:dgram`.
 *
 * @example network.ts: the program runs on one host of a lab, a server on another one
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { createLab } from "@netpath/stack/lab";
 * import { serve } from "@netpath/stack/http";
 * import { install } from "@netpath/stack/install";
 *
 * const lab = createLab({ seed: 1 });
 * lab.link("program", "server", { delay: "10ms" });
 * const server = serve(lab.host("server").net, { port: 80 }, () => new Response("hello"));
 * using _shim = install(lab.host("program").net, { resolve: (name) => name === "server" ? "10.0.0.2" : null });
 *
 * // What the program does:
 * assertEquals(await (await fetch("http://server/")).text(), "hello");
 * await server.shutdown();
 * ```
 *
 * @module
 */
import type { Net } from "../../../core/mod.ts";
import { type InstallOptions, Swaps } from "./contract.ts";
import { swapDeno } from "./deno_api.ts";
import { swapNode } from "./node_api.ts";

export type { InstallOptions, Resolve } from "./contract.ts";

/**
 * The network calls of this process use `net` from now on. Disposing the result gives them back; programs that imported
 * functions of `node:net` by name keep those of the net.
 */
export function install(net: Net, options: InstallOptions = {}): Disposable {
  const swaps = new Swaps();
  swapDeno(net, swaps, options);
  swapNode(net, swaps, options);
  return swaps;
}
