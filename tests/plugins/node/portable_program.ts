/**
 * The Node face in Node itself: its own `node:http` and streams over the stack. portable_test.ts bundles it and runs it with
 * Node 20; it prints what came of it.
 */
import { once } from "node:events";
import http from "node:http";
import { createHost, Machine } from "../../../mod.ts";
import { nic, wire } from "../../../plugins/device/nic/mod.ts";
import { Agent, connect, createServer, serveHttp } from "../../../plugins/socket/node/mod.ts";

const machine = new Machine({ seed: 7, strict: true, debug: true });
const cable = wire(machine, { delayNs: 1e6 });
const [a, b] = ["a", "b"].map((name, i) => {
  const host = createHost({ machine, name });
  nic(host.net, "eth0", { wire: cable });
  host.addr.add("eth0", `10.0.0.${i + 1}/24`);
  return host;
});

/** A request of node:http; its status and how many bytes came back. */
async function ask(agent: http.Agent, path: string, body: Uint8Array): Promise<[number, number]> {
  const req = http.request({ host: "10.0.0.2", path, method: "POST", agent });
  req.end(body);
  const [res] = await once(req, "response") as [http.IncomingMessage];
  let n = 0;
  for await (const chunk of res) n += chunk.length;
  return [res.statusCode!, n];
}

async function main(): Promise<unknown> {
  const echo = createServer(b.net, (socket) => void socket.pipe(socket)).listen(7);
  const socket = connect(a.net, 7, "10.0.0.2");
  socket.end("hello");
  let text = "";
  for await (const chunk of socket) text += chunk;
  echo.close();
  await once(echo, "close");

  const server = serveHttp(b.net, http.createServer((req, res) => void req.pipe(res)), { port: 80 });
  const agent = new Agent(a.net, { keepAlive: true });
  const answers: [number, number][] = [];
  for (let i = 0; i < 3; i++) answers.push(await ask(agent, `/${i}`, new Uint8Array(i * 100_000)));
  const refused = http.get({ host: "10.0.0.2", port: 81, agent });
  const [error] = await once(refused, "error");
  agent.destroy();
  await new Promise((resolve) => server.close(resolve));
  machine.runUntilIdle();
  machine[Symbol.dispose]();
  return { text, answers, refused: [error.code, error.syscall, error.port], leaks: machine.skbs.live };
}

main().then((result) => console.log(JSON.stringify(result)));
