/**
 * HTTP over the stack in the shapes of the Web and of Deno: {@linkcode serve} is `Deno.serve()`, {@linkcode fetchOver}
 * gives a `fetch()`; and {@linkcode connect} is WinterTC's socket API. HTTP/1.1 of its own, on the Deno-like face: it runs
 * where there is no Node. What takes Node's server or agent runs over `@netpath/stack/node`.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { createHost, Machine } from "@netpath/stack";
 * import { fetchOver, serve } from "@netpath/stack/http";
 *
 * using machine = new Machine();
 * const { net } = createHost({ machine });
 * await using server = serve(net, { port: 80 }, () => Response.json({ hello: "you" }));
 * const response = await fetchOver(net)("http://localhost/");
 * assertEquals(await response.json(), { hello: "you" });
 * ```
 *
 * @module
 */
export * from "./contract.ts";
export { fetchOver } from "./fetch.ts";
export { serve } from "./serve.ts";
export { connect } from "./sockets.ts";
