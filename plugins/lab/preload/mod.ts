/**
 * The shim for a program that talks to itself: a host with a loopback on the machine's clock, in place of the network.
 *
 * ```sh
 * deno run --preload jsr:@netpath/stack/preload program.ts
 * ```
 *
 * The program's servers and clients meet at `127.0.0.1` and `localhost`; nothing leaves the process and no `--allow-net` is
 * needed. For a network of your own write a module that calls `install()` of `@netpath/stack/install`.
 *
 * @example What a program sees under it
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import "@netpath/stack/preload";
 *
 * using listener = Deno.listen({ port: 8080 }); // no --allow-net
 * const [server, client] = await Promise.all([listener.accept(), Deno.connect({ port: 8080 })]);
 * await client.write(new TextEncoder().encode("hello"));
 * const bytes = new Uint8Array(5);
 * assertEquals(await server.read(bytes), 5);
 * assertEquals(new TextDecoder().decode(bytes), "hello");
 * for (const conn of [server, client]) conn.close();
 * ```
 *
 * @module
 */
import type { Platform } from "../../../core/mod.ts";
import { createHost, Machine, realPlatform } from "../../../mod.ts";
import { install } from "./install.ts";

/** The real clock, with a timer that does not keep the process running: what waits at a socket does. */
function quietPlatform(): Platform {
  const real = realPlatform();
  let timer: ReturnType<typeof setTimeout> | undefined;
  return {
    ...real,
    setTimer(at, fn) {
      clearTimeout(timer);
      timer = setTimeout(fn, Math.max(0, Math.ceil(at / 1e6 - performance.now())));
      Deno.unrefTimer(timer);
    },
    clearTimer: () => clearTimeout(timer),
  };
}

const machine = new Machine({ platform: quietPlatform() });
install(createHost({ machine, name: "localhost" }).net);
