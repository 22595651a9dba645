/**
 * The Deno-like socket face: `connect()`, `listen()` and `listenDatagram()` with Deno's names, options and errors, and
 * {@linkcode ping}. Promises begin here: below, everything is a plain call.
 *
 * What arrives wakes a socket once, at the machine's outermost exit; there the calls that wait are served in order.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { createHost, Machine } from "@netpath/stack";
 * import { connect, listen, listenDatagram, ping } from "@netpath/stack/deno";
 *
 * using machine = new Machine();
 * const { net } = createHost({ machine });
 * using server = listenDatagram(net, { port: 7 });
 * using client = listenDatagram(net, { hostname: "127.0.0.1" });
 * await client.send(new TextEncoder().encode("hello"), { transport: "udp", hostname: "127.0.0.1", port: 7 });
 * const [data, from] = await server.receive();
 * assertEquals([new TextDecoder().decode(data), from], ["hello", client.addr]);
 *
 * using listener = listen(net, { port: 80 });
 * using conn = await connect(net, { port: 80 });
 * using accepted = await listener.accept();
 * await accepted.write(new TextEncoder().encode("welcome"));
 * accepted.close();
 * assertEquals(await new Response(conn.readable).text(), "welcome");
 *
 * assertEquals((await ping(net, "127.0.0.1", { seq: 3 })).seq, 3);
 * ```
 *
 * @module
 */
export * from "./contract.ts";
export * from "./errors.ts";
export { listenDatagram } from "./datagram.ts";
export { ping } from "./ping.ts";
