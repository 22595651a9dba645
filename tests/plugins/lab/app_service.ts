// An application for scale_test.ts: an HTTP service on port 80 that counts its answers.
import type { Host } from "../../../mod.ts";
import { serve } from "../../../plugins/socket/http/mod.ts";

export default async (host: Host, { signal }: { signal: AbortSignal }): Promise<void> => {
  let answers = 0;
  const server = serve(host.net, { port: 80 }, () => new Response(`answer ${++answers}`));
  await new Promise((done) => signal.addEventListener("abort", done));
  await server.shutdown();
};
