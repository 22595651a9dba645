// deno run examples/nfqueue.ts
//
// What iptables calls -j NFQUEUE: packets wait in the hook while your own code decides, asynchronously, what happens to each.
import { createHost, Machine, NF_ACCEPT, NF_DROP, NF_INET_LOCAL_IN, nfRegisterNetHook } from "@netpath/stack";
import { NETFILTER, NF_QUEUE, nfRegisterQueueHandler } from "@netpath/stack/netfilter";
import { nic, wire } from "@netpath/stack/nic";

using machine = new Machine({ seed: 1 });
const cable = wire(machine);
const a = createHost({ machine, name: "a" });
const b = createHost({ machine, name: "b" });
nic(a.net, "eth0", { wire: cable });
nic(b.net, "eth0", { wire: cable });
a.addr.add("eth0", "10.0.0.1/24");
b.addr.add("eth0", "10.0.0.2/24");

/** Anything that takes its time: a database, a service, a person. */
async function allowed(text: string): Promise<boolean> {
  using _hold = machine.hold(); // virtual time waits for it
  await new Promise((resolve) => setTimeout(resolve, 5));
  return !text.includes("secret");
}

const netfilter = b.net.get(NETFILTER);
nfRegisterNetHook(b.net, { name: "queue-udp", hook: NF_INET_LOCAL_IN, fn: () => NF_QUEUE });
nfRegisterQueueHandler(b.net, {
  name: "reader",
  enqueue(entry) {
    const text = new TextDecoder().decode(entry.skb.bytes.subarray(entry.skb.data + 28, entry.skb.tail));
    allowed(text).then((yes) => {
      console.log(`packet ${entry.id} "${text}": ${yes ? "accept" : "drop"}`);
      netfilter.reinject(entry, yes ? NF_ACCEPT : NF_DROP);
    });
    return true;
  },
});

using server = b.listenDatagram({ port: 7 });
using client = a.listenDatagram({ port: 0 });
for (const text of ["one", "a secret", "two"]) {
  await client.send(new TextEncoder().encode(text), { transport: "udp", hostname: "10.0.0.2", port: 7 });
}
for (let i = 0; i < 2; i++) {
  const [data] = await server.receive();
  console.log(`received "${new TextDecoder().decode(data)}"`);
}
