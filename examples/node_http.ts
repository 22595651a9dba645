// deno run examples/node_http.ts
//
// Node's own HTTP server and client between two hosts in one process: only the sockets below them are the stack's. What
// takes a server or an agent of node:http runs the same way: Express, Hono's Node server, ws.
import { once } from "node:events";
import { createServer, get, type IncomingMessage } from "node:http";
import { createHost, Machine } from "@netpath/stack";
import { nic, wire } from "@netpath/stack/nic";
import { Agent, serveHttp } from "@netpath/stack/node";

using machine = new Machine({ seed: 1 });
const cable = wire(machine);
const client = createHost({ machine, name: "client" });
const web = createHost({ machine, name: "web" });
nic(client.net, "eth0", { wire: cable });
nic(web.net, "eth0", { wire: cable });
client.addr.add("eth0", "10.0.0.1/24");
web.addr.add("eth0", "10.0.0.2/24");

const server = createServer((request, response) => {
  response.setHeader("content-type", "text/plain");
  response.end(`hello ${request.socket.remoteAddress}, this is ${request.url}`);
});
serveHttp(web.net, server, { port: 80 });

const agent = new Agent(client.net, { keepAlive: true });
for (const path of ["/", "/again"]) {
  const [response] = await once(get({ host: "10.0.0.2", path, agent }), "response") as [IncomingMessage];
  let body = "";
  for await (const chunk of response) body += chunk;
  console.log(`${response.statusCode} "${body}"`);
}

agent.destroy();
server.close();
await once(server, "close");
console.log(`closed; copied by the CPU: ${machine.ledger.total("cpu")} bytes`);
