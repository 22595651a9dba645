/** serve(), fetch and WinterTC's connect() over stream sockets without a network. */
import { FakeHosts } from "../../support/fakes/stream_hosts.ts";
import { httpSuite } from "./http_suite.ts";

httpSuite("without a network", () => {
  const t = new FakeHosts();
  return { a: t.a, b: t.b, open: () => t.streams.open.size, [Symbol.dispose]: () => t[Symbol.dispose]() };
});
