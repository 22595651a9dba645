// deno run examples/hello.ts
//
// Two hosts on one wire, in one process and without any permission: a datagram there and an answer back.
import { createHost, Machine } from "@netpath/stack";
import { nic, wire } from "@netpath/stack/nic";

using machine = new Machine({ seed: 1 });
const cable = wire(machine);
const alice = createHost({ machine, name: "alice" });
const bob = createHost({ machine, name: "bob" });
nic(alice.net, "eth0", { wire: cable });
nic(bob.net, "eth0", { wire: cable });
alice.addr.add("eth0", "10.0.0.1/24");
bob.addr.add("eth0", "10.0.0.2/24");

using server = bob.listenDatagram({ port: 7 });
using client = alice.listenDatagram({ port: 4096 });

await client.send(new TextEncoder().encode("hello"), { transport: "udp", hostname: "10.0.0.2", port: 7 });
const [question, from] = await server.receive();
if (from.transport !== "udp") throw new TypeError("UDP has UDP addresses");
console.log(`bob   received "${new TextDecoder().decode(question)}" from ${from.hostname}:${from.port}`);

await server.send(new TextEncoder().encode("hello yourself"), from);
const [answer] = await client.receive();
console.log(`alice received "${new TextDecoder().decode(answer)}"`);

const { cpu, dma } = { cpu: machine.ledger.total("cpu"), dma: machine.ledger.total("dma") };
console.log(`bytes copied by the CPU: ${cpu} (each payload once in, once out); moved by DMA: ${dma}`);
