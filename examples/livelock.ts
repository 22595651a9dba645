// deno run examples/livelock.ts
//
// What an interrupt costs. A host reads datagrams while a card offers more and more of them. CPU work takes virtual time
// here: 2 us an interrupt, 1 us a packet, 0.6 us a system call. With an interrupt for each frame there is nothing left for
// the application in the end; with NAPI the host takes what it can, and the card's ring loses the rest at no cost.
import { createHost, Machine } from "@netpath/stack";
import { cpuCost, livelock, plot, table } from "@netpath/stack/livelock";

const loads = [50_000, 150_000, 250_000, 300_000, 400_000, 500_000, 600_000, 800_000, 1_200_000];
const rows = livelock({ modes: ["interrupt", "moderated"], loads, seconds: 0.005 });
console.log(plot(rows));
console.log(`\n${table(rows)}\n`);

// The same model on a machine of your own: what an application's system calls and the stack below them take.
using machine = new Machine({ cost: (m) => cpuCost(m, { syscall: 500, packet: 800 }) });
const host = createHost({ machine });
using server = host.listenDatagram({ port: 7 });
using client = host.listenDatagram({ port: 0 });
const started = machine.now;
for (let i = 0; i < 100; i++) {
  await client.send(new Uint8Array(64), { transport: "udp", hostname: "127.0.0.1", port: 7 });
  await server.receive();
}
console.log(`100 datagrams there and read: ${(machine.now - started) / 1000} us of virtual time`);
