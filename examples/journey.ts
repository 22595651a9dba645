// deno run examples/journey.ts
//
// Watches one datagram: where it goes, what each step does to the buffer, and why it is dropped at the end.
import { createHost, Machine } from "@netpath/stack";
import { journey } from "@netpath/stack/journey";
import { nic, wire } from "@netpath/stack/nic";

using machine = new Machine({ seed: 1 });
const cable = wire(machine);
const a = createHost({ machine, name: "a" });
const b = createHost({ machine, name: "b" });
nic(a.net, "eth0", { wire: cable });
nic(b.net, "eth0", { wire: cable });
a.addr.add("eth0", "10.0.0.1/24");
b.addr.add("eth0", "10.0.0.2/24");
using client = a.listenDatagram({ port: 4096 });

// Nobody listens on port 9: the datagram is dropped, and an ICMP error goes back.
using trace = journey(machine);
await client.send(new Uint8Array(100), { transport: "udp", hostname: "10.0.0.2", port: 9 });
machine.runUntilIdle();

const color = Deno.stdout.isTerminal() && !Deno.noColor;
console.log(trace.render({ color, remarks: false }));

// The same as data: what caused what, and why a packet died.
const show = (list: ReturnType<typeof trace.packets>, depth: number): void => {
  for (const p of list) {
    const drop = p.records.find((r) => r.drop !== null)?.drop;
    const why = drop === undefined || drop === null ? "" : `, dropped: ${drop.name} (${drop.advice})`;
    console.log(`${"  ".repeat(depth)}#${p.id} ${p.packet}, seen in ${p.nets.join(" and ")}${why}`);
    show(p.children, depth + 1);
  }
};
show(trace.packets(), 0);
