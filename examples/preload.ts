// deno run --preload examples/preload.ts examples/preload_program.ts
//
// A network for a program that knows nothing of it: the program runs on one host of a lab, a server on another one, and the
// link between them is bad. No permission is asked for: nothing leaves the process.
import { serve } from "@netpath/stack/http";
import { install } from "@netpath/stack/install";
import { createLab } from "@netpath/stack/lab";

const lab = createLab({ seed: 1 });
lab.link("program", "server", { delay: "80ms", loss: "20%" });

const { net } = lab.host("server");
serve(net, { port: 80, onListen: () => {} }, (request, { remoteAddr }) => {
  const { pathname } = new URL(request.url);
  return new Response(`${pathname} for ${remoteAddr.hostname}, at ${Math.round(lab.machine.now / 1e6)} virtual ms`);
});

const names: Readonly<Record<string, string>> = { "api.test": "10.0.0.2" };
install(lab.host("program").net, { resolve: (name) => names[name] ?? null });
