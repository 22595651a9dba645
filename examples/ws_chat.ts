// deno run --allow-env examples/ws_chat.ts
//
// A chat over WebSockets between four hosts on a switch: the package ws and node:http as they are, over the stack. (ws
// asks the environment whether it may use its native parts.)
import { once } from "node:events";
import { createServer, type IncomingMessage } from "node:http";
import { WebSocket, WebSocketServer } from "npm:ws@^8";
import { createHost, createNet, type Host, Machine } from "@netpath/stack";
import { bridge, bridgeDevice } from "@netpath/stack/bridge";
import { ethernet } from "@netpath/stack/ethernet";
import { nic, wire } from "@netpath/stack/nic";
import { Agent, serveHttp } from "@netpath/stack/node";

using machine = new Machine({ seed: 1 });
const lan = createNet({ machine, name: "switch", plugins: [ethernet(), bridge()] });

function attach(name: string, n: number): Host {
  const host = createHost({ machine, name });
  const cable = wire(machine);
  nic(host.net, "eth0", { wire: cable });
  nic(lan, `port${n}`, { wire: cable });
  host.addr.add("eth0", `10.0.0.${n}/24`);
  return host;
}

const room = attach("room", 1);
const people = ["ann", "bob", "cem"].map((name, i) => attach(name, i + 2));
bridgeDevice(lan, "br0", { ports: lan.devices.map((d) => d.name).filter((name) => name.startsWith("port")) });

// The room: what one says, all hear.
const server = createServer();
const chat = new WebSocketServer({ server });
chat.on("connection", (socket: WebSocket, request: IncomingMessage) => {
  const name = new URL(request.url!, "ws://room").searchParams.get("name");
  socket.on("message", (text: Uint8Array) => {
    for (const each of chat.clients) each.send(`${name} (${request.socket.remoteAddress}): ${text}`);
  });
});
serveHttp(room.net, server, { port: 80 });

const sockets = await Promise.all(people.map(async ({ net }) => {
  const socket = new WebSocket(`ws://10.0.0.1/?name=${net.name}`, { agent: new Agent(net) });
  socket.on("message", (text: Uint8Array) => console.log(`${net.name} reads  ${text}`));
  await once(socket, "open");
  return socket;
}));

for (const [i, text] of ["hello", "hello, who is there?", "all of us"].entries()) {
  const heard = sockets.map((socket: WebSocket) => once(socket, "message"));
  sockets[i].send(text);
  await Promise.all(heard);
}

for (const socket of sockets) {
  socket.close(1000, "bye");
  const [code, reason] = await once(socket, "close");
  console.log(`closed: ${code} ${reason}`);
}
chat.close();
server.close();
await once(server, "close");
